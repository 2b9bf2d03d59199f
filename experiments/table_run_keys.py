"""The keys of a table's rows: the package's from ``tables/keys.yaml``, those of a user's own table beside their runs.

A key that is known is read without torch; one that is not is computed before the first cell is run.
"""

from collections.abc import Iterable
from pathlib import Path

from datamodules.functional.locks import taken
from experiments.errors import UserError
from experiments.table_cells import Known, Wanted, read_keys
from experiments.table_jobs import WORK

PATIENCE = 10.0  # seconds: writing takes milliseconds


def stored_keys(runs: Path) -> dict[str, Known]:
    """What is known already, by ``Wanted.name``."""
    return {**read_keys(file_of(runs)), **read_keys()}


def file_of(runs: Path) -> Path:
    """Where keys that are not the package's are kept."""
    return runs / WORK / "keys.yaml"


def todays_keys(rows: Iterable[Wanted], runs: Path) -> dict[str, Known]:
    """The keys of ``rows``, computed where they are not known or of a YAML that has changed since.

    Raises:
        UserError: a mistake in a row's YAML or its overrides.
    """
    keys = stored_keys(runs)
    lacking = {row.name: row for row in rows if row.name not in keys or keys[row.name].yaml != row.yaml}
    if lacking:
        from experiments.table_keys import key_of, with_key  # imports torch

        for name, row in lacking.items():
            try:
                keys[name] = with_key(keys.get(name), key_of(row), row.yaml)
            except UserError as error:
                raise UserError(f"{row.experiment}: {error}") from error
    return keys


def keep_keys(keys: dict[str, Known], runs: Path) -> None:
    """Remember those of ``keys`` that the package's file does not hold, for tables that are only read.

    Those of other tables that are put down meanwhile stay.
    """
    package, file = read_keys(), file_of(runs)
    own = {name: at for name, at in keys.items() if name not in package}
    file.parent.mkdir(parents=True, exist_ok=True)
    with taken(file.with_suffix(".lock"), PATIENCE):
        kept = {name: at for name, at in read_keys(file).items() if name not in package}
        if not own.items() <= kept.items():
            from experiments.table_keys import write_keys

            write_keys(kept | own, file)
