"""Shipped networks: what their runs gave, in half precision where large, and never changed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import place, refused
from restore_runs import (
    FAMILY,
    noise,
    put,
    restored,
    run,
    tensor,
)

from experiments import restorers, ship_restorer
from experiments.ship_restorer import ship
from lightning_modules.networks.fsrcnn import FSRCNN
from lightning_modules.tools.restoration import Restorer

pytestmark = pytest.mark.usefixtures(place.__name__)


@pytest.fixture
def shelf(tmp_path, monkeypatch) -> Path:
    """Where shipped networks lie in this test."""
    monkeypatch.setattr(restorers, "SHIPPED", tmp_path / "shelf")
    return tmp_path / "shelf"


def small_fsrcnn() -> Path:
    torch.manual_seed(0)
    arguments = {"scale": 2, "d": 8, "s": 4, "m": 1}
    return run("lightning_modules.networks.fsrcnn.FSRCNN", FAMILY, network=arguments, colour="luma")


def test_a_shipped_network_gives_what_its_run_gives(shelf, capfd):
    folder = small_fsrcnn()
    put(noise(20, 30, 3))
    assert ship([str(folder), "fsrcnn-x2"]) == 0
    assert {path.name for path in shelf.iterdir()} == {"fsrcnn-x2.safetensors", "fsrcnn-x2.json"}
    card = json.loads((shelf / "fsrcnn-x2.json").read_text())
    assert (card["reads"], card["scales"], card["precision"], card["difference"]) == ("luma", [2], "fp32", 0.0)
    assert (card["experiment"], card["g_step"], card["weights"]) == ("toy", 7, "raw")
    assert card["parameters"] == sum(p.numel() for p in FSRCNN(2, 8, 4, 1).parameters())
    assert str(Path.cwd()) not in json.dumps(card)
    one, other = restored(str(folder), "a.png"), restored("fsrcnn-x2", "a.png", "--out", "restored/s", name="s/a.png")
    assert np.array_equal(one, other)
    assert "fsrcnn-x2: x2, reads luma" in capfd.readouterr().out
    assert "did you mean fsrcnn-x2?" in refused(capfd, "restore", "fsrcnn-x3", "a.png")
    assert "leave out --ckpt" in refused(capfd, "restore", "fsrcnn-x2", "a.png", "--ckpt", "last")
    assert "leave out other.yaml" in refused(capfd, "restore", "fsrcnn-x2", "a.png", "--config", "other.yaml")


def test_a_large_network_is_shipped_in_half_precision(shelf, monkeypatch):
    monkeypatch.setattr(ship_restorer, "IN_FULL", 0)
    assert ship([str(small_fsrcnn()), "half"]) == 0
    card = json.loads((shelf / "half.json").read_text())
    assert card["precision"] == "fp16"
    assert 0 < card["difference"] < 1e-3
    network, _ = restorers.load_restorer("half")
    assert all(p.dtype == torch.float32 and torch.equal(p, p.half().float()) for p in network.parameters())


def test_a_shipped_network_never_changes(shelf, capfd):
    folder = small_fsrcnn()
    put(noise(20, 30, 3))
    assert ship([str(folder), "one"]) == 0
    with pytest.raises(ship_restorer.UserError, match="never changes: name a better one one-v2"):
        ship([str(folder), "one"])
    with pytest.raises(ship_restorer.UserError, match="does not serve as a name"):
        ship([str(folder), "../one"])
    content = bytearray((shelf / "one.safetensors").read_bytes())
    content[-1] ^= 1
    (shelf / "one.safetensors").write_bytes(bytes(content))
    assert "are not those of its card" in refused(capfd, "restore", "one", "a.png")
    (shelf / "one.json").write_text("{}")
    assert "is not the card of a shipped network" in refused(capfd, "restore", "one", "a.png")


def test_every_shipped_network_is_as_its_card_says():
    for name in restorers.restorer_names():
        network, card = restorers.load_restorer(name)
        for scale in card.scales or [1]:
            result = Restorer(network, card.reads, scale).restore(tensor(noise(24, 16)))
            assert result.shape == (1, 1, 24 * scale, 16 * scale)
            assert bool(result.isfinite().all())
