"""``python -m experiments.table_keys [--same] [ROW...]``: the keys of the tables' rows, which ``table`` compares.

All are computed, which takes minutes, unless some are named, such as gan/icr_mnist32: enough after a change of their
YAML alone. A key that changed is kept as an earlier one: records that bear it are stale, not of something else. With
``--same`` they are as good as today's: for a constructor's new default where the YAML says the setting itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from datamodules.functional.files import replacing
from experiments.catalogue import DEFAULTS, experiments
from experiments.cell_key import cell_key
from experiments.errors import UserError, did_you_mean, leave_by
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI
from experiments.table_cells import Known, Wanted, options, read_keys, wanted
from experiments.table_file import KEYS, read_table, tables

SAME = "--same"
HEADER = "# Not written by hand: the settings that each row of a table hangs on, as hashes (experiments/cell_key.py).\n"


def all_wanted() -> dict[str, Wanted]:
    """What each row of the package's tables asks for, by name, in order, and each experiment that once had a row."""
    rows = [wanted(row, name) for name, file in tables().items() for row in read_table(file).rows]
    files = experiments()
    rows += [Wanted(name, files[name], {}) for name in read_keys() if name in files]
    return {row.name: row for row in sorted(rows, key=lambda row: row.name)}


def key_of(row: Wanted) -> str:
    """The key that runs of ``row`` get.

    Raises:
        UserError: a mistake in its YAML or its overrides.
    """
    layers = [(file.name, read_layer(file)) for file in (DEFAULTS, row.file)]
    return cell_key(AtelierCLI(layers, options(row.settings)).resolved)


def with_key(before: Known | None, key: str, yaml_hash: str, same: bool = False) -> Known:
    """``before`` with today's key, its own one becoming an earlier one, or one of the ``same`` settings."""
    if before is None:
        return Known(key, yaml_hash)
    if same:
        return Known(key, yaml_hash, before.earlier, without((*before.same, before.key), key))
    if key == before.key:
        return replace(before, yaml=yaml_hash)
    return Known(key, yaml_hash, without((*before.earlier, *before.current), key))


def without(keys: Sequence[str], key: str) -> tuple[str, ...]:
    """``keys``, each once, but for ``key``."""
    return tuple(dict.fromkeys(other for other in keys if other != key))


def apart(keys: Mapping[str, Known]) -> dict[str, Known]:
    """``keys`` without earlier ones that are today's of another row: their records are that row's."""
    today = {at.key for at in keys.values()}
    return {
        name: replace(at, earlier=tuple(old for old in at.earlier if old not in today)) for name, at in keys.items()
    }


def write_keys(keys: Mapping[str, Known], file: Path = KEYS) -> None:
    """Write ``keys.yaml``."""
    plain = {
        name: {
            "key": at.key,
            "yaml": at.yaml,
            **{kind: list(old) for kind, old in (("earlier", at.earlier), ("same", at.same)) if old},
        }
        for name, at in keys.items()
    }
    with replacing(file) as target:
        target.write((HEADER + yaml.safe_dump(plain, sort_keys=True)).encode())


def main(names: Sequence[str]) -> int:
    """Bring ``keys.yaml`` up to date; keys whose row is in no table any more are kept up as well, for its records.

    Raises:
        UserError: one of ``names`` is no row, or ``--same`` stands alone or beside one whose YAML has changed.
    """
    same = SAME in names
    keys, rows, names = read_keys(), all_wanted(), [name for name in names if name != SAME]
    for name in names:
        if name not in rows:
            raise UserError(f"{name} is no row of a table: {did_you_mean(name, rows, 'keys.yaml names them')}")
        if same and name in keys and keys[name].yaml != rows[name].yaml:
            raise UserError(f"the YAML of {name} has changed: {SAME} is for a constructor's new default alone")
    if same and not names:
        raise UserError(f"{SAME} is of rows that are named")
    for name in names or rows:
        row, known = rows[name], keys.get(name)
        keys[name] = with_key(known, key_of(row), row.yaml, same)
        if known is None or known.key != keys[name].key:
            print(f"{name}: {keys[name].key}")
    write_keys(apart(keys))
    return 0


if __name__ == "__main__":
    leave_by(main)
