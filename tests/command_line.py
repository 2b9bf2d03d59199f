"""A tiny experiment and a working directory of its own, for what tests the command line."""

import json
import os
from pathlib import Path

import pytest

from experiments.cli import main

ROOT = Path(__file__).parent.parent
LONGEST = 700  # characters: a sentence, not a dump
TINY = """# A tiny GAN.
model:
  class_path: lightning_modules.gan.GAN
  init_args:
    generator:
      class_path: lightning_modules.networks.dcgan.DCGANGenerator
      init_args: {size: 8, channels: 1, z_dim: 4, width: 4}
    discriminator:
      class_path: lightning_modules.networks.dcgan.DCGANDiscriminator
      init_args: {size: 8, channels: 1, width: 4, batch_norm: false}
    ema: {half_life_kimg: 1}
data:
  class_path: datamodules.digits.Digits
  init_args: {size: 8, batch_size: 8}
clock: {g_steps: 4, validations: 2}
evaluation: null
trainer:
  accelerator: cpu
  log_every_n_steps: 1
  logger:
    - class_path: lightning_modules.callbacks.loggers.JsonlLogger
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory of its own, and the environment as it was afterwards."""
    for name, value in os.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "no-netrc"))
    before = set(os.environ)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(TINY)
    yield
    for name in set(os.environ) - before:
        del os.environ[name]


def runs() -> list[Path]:
    """The run directories made so far, in order."""
    configs = sorted(Path("runs").rglob("config.yaml"), key=lambda path: path.stat().st_mtime_ns)
    return [path.parent for path in configs]


def fit(*options: str) -> Path:
    """Train the tiny experiment; its run directory, absolute."""
    assert main(["fit", "tiny.yaml", *options]) == 0
    return runs()[-1].absolute()


def rows(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def files() -> set[str]:
    return {str(path) for path in Path().rglob("*")}


def refused(capfd, *argv: str, code: int = 2) -> str:
    """The one sentence that ``argv`` costs, nothing written."""
    before = files()
    assert main(list(argv)) == code
    said = capfd.readouterr()
    assert said.err.startswith("atelier: ")
    assert said.err.count("\n") == 1
    assert len(said.err) < LONGEST
    assert "Traceback" not in said.err
    assert "usage" not in said.err
    assert "usage" not in said.out
    assert files() == before
    return said.err.removeprefix("atelier: ").rstrip()
