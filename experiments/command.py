"""What a command of ``atelier`` is, and what the usages of several say alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command: what it does in a line, how it is used, and its function."""

    line: str
    usage: str
    run: Callable[[Sequence[str]], int]


CONFIGURATION = """
  --config FILE        merge one more YAML, or an overlay by name (smoke, multi_gpu, debug/overfit); may be repeated
  --KEY VALUE          set one key, such as --data.batch_size 32 or --trainer.devices 2
  --print_config       print the whole configuration and do nothing else"""

WEIGHTS = """  atelier {0} RUN_DIR [--ckpt last|best]
  atelier {0} EXPERIMENT --ckpt FILE
"""
