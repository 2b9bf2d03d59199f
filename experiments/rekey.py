"""``python -m experiments.rekey``: give committed records from before there were keys theirs, where it can be known.

A record names its experiment and its commit, so that the YAML of then is at hand: it is resolved by today's classes.
Not at hand is the command line of then. What can be seen of it is compared: a record whose networks are of another
size, or whose code was not committed, stays without a key. A key that is not today's is kept as an earlier one.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
import yaml

from datamodules.functional.files import replacing
from experiments.catalogue import DEFAULTS, ROOT
from experiments.cell_key import cell_key
from experiments.errors import AtelierError
from experiments.house import HOUSE
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI, switch_off
from experiments.table_cells import Known, read_keys
from experiments.table_keys import write_keys
from experiments.table_results import RESULTS
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.cost import count


def rekey(record: dict[str, Any]) -> str:
    """The key of ``record``.

    Raises:
        ValueError: it cannot be known, and why.
    """
    if record["code"]["dirty"] is not False:
        raise ValueError("its code was not committed")
    cli = AtelierCLI([("defaults.yaml", read_layer(DEFAULTS)), ("then", yaml_of_then(record))], [])
    key = cell_key(cli.resolved)
    switch_off(cli, "data", *HOUSE)
    cli.config.trainer.logger = False
    with torch.device("meta"):
        cli.build()
    assert isinstance(cli.model, AtelierModule)
    networks = {name: count(net) for name, net in cli.model.named_children() if name != "ema"}
    if networks != record["cost"]["parameters"]:
        raise ValueError("its networks are of another size than its YAML says")
    return key


def yaml_of_then(record: dict[str, Any]) -> dict[str, Any]:
    """The experiment's YAML at the commit of ``record``.

    Raises:
        ValueError: it is not in the history.
    """
    name = f"{record['code']['commit']}:./{record['experiment']}.yaml"
    shown = subprocess.run(["git", "-C", str(ROOT), "show", name], capture_output=True, text=True, check=False)
    if shown.returncode:
        raise ValueError(f"the history has no {name}")
    return yaml.safe_load(shown.stdout)


def put_key(file: Path, record: dict[str, Any], key: str) -> None:
    """Write ``record`` with its key where new records have it."""
    first = {name: record[name] for name in ("schema", "experiment")}
    text = json.dumps({**first, "key": key, **record}, indent=2, allow_nan=False)
    with replacing(file) as target:
        target.write(text.encode() + b"\n")


def main() -> int:
    """Go through all committed records of runs."""
    keys = read_keys()
    for file in sorted(RESULTS.rglob("*.json")):
        record = json.loads(file.read_text(encoding="utf-8"))
        if "key" in record or "kind" in record:
            continue
        try:
            key = rekey(record)
        except (ValueError, AtelierError) as error:
            print(f"{file.relative_to(RESULTS)}: no key, {error}")
            continue
        put_key(file, record, key)
        known = keys.get(record["experiment"])
        current = known is None or known.key == key
        if known is not None and not current:
            keys[record["experiment"]] = Known(known.key, known.yaml, tuple(dict.fromkeys((*known.earlier, key))))
        print(f"{file.relative_to(RESULTS)}: {key}{'' if current else ', the settings have changed since'}")
    write_keys(keys)
    return 0


if __name__ == "__main__":
    sys.exit(main())
