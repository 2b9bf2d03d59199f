"""A CPU that only emulates bfloat16 is said to, where it matters and nowhere else."""

import pytest
import torch
from command_line import place

from experiments.cli import main
from experiments.half_precision import emulates_bf16

pytestmark = pytest.mark.usefixtures(place.__name__)

CPUS = [
    ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, True),
    ({"architecture": "x86_64", "avx512_bf16": True, "amx_bf16": False}, False),
    ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": True}, False),
    ({"architecture": "x86_64"}, True),
    ({"architecture": "arm64", "bf16": True}, False),
    ({"architecture": "unheard of"}, False),
]


@pytest.mark.parametrize(("found", "emulated"), CPUS)
def test_emulation_is_told_by_the_flags_of_the_cpu(monkeypatch, found, emulated):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert emulates_bf16() == emulated


def test_a_run_that_is_slow_for_it_says_so_and_trains(monkeypatch, capsys):
    said = "this CPU emulates bfloat16"
    for (found, emulated), precision in zip(
        CPUS[:2] * 2, ["bf16-mixed", "bf16-mixed", "32-true", "32-true"], strict=True
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found)
        assert main(["fit", "tiny.yaml", "--trainer.precision", precision, "--trainer.logger", "false"]) == 0
        assert (said in capsys.readouterr().out) == (emulated and precision == "bf16-mixed")
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: CPUS[0][0])
    assert main(["fit", "tiny.yaml", "--trainer.precision", "bf16-mixed", "--dry_run"]) == 0
    assert said in capsys.readouterr().out
    assert main(["doctor"]) == 0
    assert "bf16          emulated, slower than float32" in capsys.readouterr().out
