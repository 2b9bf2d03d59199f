"""Deep image prior: average, roll-back and resume on toys, and learning."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from command_line import place
from resuming import CutOff
from test_single_image import data, scene
from torch import Tensor, nn
from torch.optim import Adam
from toys import distance, same, sgd, trainer, weights

from datamodules.damage import Noise
from datamodules.pairs import PairLoader, PairSet
from datamodules.single_image import Again
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.deep_image_prior import DeepImagePrior, psnr
from lightning_modules.fixed_inputs import UniformNoise
from lightning_modules.losses.observations import Known
from lightning_modules.losses.reconstruction import L1, MSE
from lightning_modules.networks.base import Network
from lightning_modules.networks.skip import Skip

# --- the family on toys --------------------------------------------------------------------------------------


class Toy(Network):
    """The first three channels of z times a weight each, and the inputs that it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1, 1))
        self.seen: list[Tensor] = []

    def forward(self, z: Tensor) -> Tensor:
        if not z.is_meta:
            self.seen.append(z.detach().clone())
        return z[:, :3] * self.w.view(1, 3, 1, 1)


def prior(network: Network | None = None, **settings: Any) -> DeepImagePrior:
    return DeepImagePrior(network or Toy(), **{"size": (8, 8), "optimizer": sgd(1.0), **settings})


class Given(L.LightningDataModule):
    """Somebody else's one image."""

    value_range, truth, batch_size = (0.0, 1.0), True, 1

    def __init__(self, *batch: Tensor) -> None:
        super().__init__()
        self.batch = batch
        self.shapes = [tuple(part.shape[1:]) for part in batch]
        self.out_shape = self.shapes[0]

    def train_dataloader(self) -> Any:
        return Again(self.batch)

    def val_dataloader(self) -> Any:
        return PairLoader(PairSet("given", 1, [self.batch]))


def pair(side: int = 8) -> tuple[Tensor, Tensor]:
    x = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(5))
    return x, (x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(6))).clamp(0, 1)


def fit(folder: Path, module: DeepImagePrior, *callbacks: L.Callback, batch: Any = None, **settings: Any) -> Any:
    trainer(folder, *callbacks, **settings).fit(module, datamodule=Given(*(batch or pair())))
    return module


def test_the_fixed_noise_is_of_the_seed_and_leaves_the_stream_alone() -> None:
    torch.manual_seed(3)
    a = prior()
    drawn = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(torch.rand(1), drawn)
    assert torch.equal(prior().z, a.z)
    assert not torch.equal(prior(seed=1).z, a.z)
    assert (a.z.shape, a.state_dict()["z"].max() < 0.1) == ((1, 32, 8, 8), True)


def test_the_input_is_shaken_anew_at_each_step_and_stays(tmp_path: Path) -> None:
    net = Toy()
    module = prior(net, jitter=0.5)
    z = module.z.clone()
    fit(tmp_path, module, max_steps=3)
    assert torch.equal(module.z, z)
    shakes = [seen - z for seen in net.seen]
    assert len(shakes) == 3
    for shake in shakes:
        assert shake.std().item() == pytest.approx(0.5, rel=0.1)
    assert abs((shakes[0] * shakes[1]).mean().item()) < 0.03  # 0.25 where they were the same
    still = Toy()
    fit(tmp_path, prior(still, jitter=0.0), max_steps=2)
    assert all(torch.equal(seen, z) for seen in still.seen)


def test_the_restored_image_is_the_average_of_outputs_by_hand(tmp_path: Path) -> None:
    net = Toy()
    module = prior(net, jitter=0.0, averaging=0.75, optimizer=sgd(20.0))
    before = module(module.z)
    assert torch.equal(module.restored, before)  # nothing to average yet
    w, outputs = [], []

    class See(L.Callback):
        def on_train_batch_start(self, *args: Any) -> None:
            w.append(net.w.detach().clone())

    fit(tmp_path, module, See(), max_steps=3)
    outputs = [module.z[:, :3] * weight.view(1, 3, 1, 1) for weight in w]
    by_hand = 0.75**2 * outputs[0] + 0.25 * 0.75 * outputs[1] + 0.25 * outputs[2]
    assert torch.allclose(module.restored, by_hand, atol=1e-6)
    assert (module.restored - outputs[2]).abs().max() > 1e-3
    assert module.restore((torch.zeros(2, 3, 8, 8),)).shape == (2, 3, 8, 8)
    assert module.weights_name == "averaged outputs"


def test_a_batch_of_several_is_averaged_together() -> None:
    module = prior()
    module.trainer = trainer(Path())
    x, y = (part.expand(2, -1, -1, -1) for part in pair())
    module.terms(x, y)
    a, b = module.network.seen[-1]  # type: ignore[union-attr, index]
    assert not torch.equal(a, b)
    assert torch.allclose(module.averaged, (module.network(torch.stack([a, b]))).mean(0, keepdim=True))


def test_the_objective_is_of_what_is_seen_and_the_clean_image_has_no_part(tmp_path: Path) -> None:
    x, y = pair()
    hole = torch.rand(1, 1, 8, 8) < 0.5
    module = prior(jitter=0.0, observation=Known(), losses=[MSE(2.0), L1()])
    seen = module.z[:, :3] * module.network.w.view(1, 3, 1, 1) * ~hole  # type: ignore[union-attr, operator]
    terms = module.terms(x, y * ~hole, hole)
    assert terms["mse"].item() == pytest.approx(2 * (seen - y * ~hole).square().mean().item(), rel=1e-5)
    assert terms["l1"].item() == pytest.approx((seen - y * ~hole).abs().mean().item(), rel=1e-5)
    ends = [weights(fit(tmp_path, prior(), batch=(clean, y), max_steps=5).network) for clean in (x, 1 - x)]
    assert same(*ends)


def test_parameter_noise_is_a_share_of_each_kernels_own_spread() -> None:
    torch.manual_seed(0)
    module = prior(Skip(in_channels=32, channels=[40], skips=[0]), parameter_noise=0.02)
    before = weights(module.network)
    module.disturb()
    for name, weight in module.network.named_parameters():
        moved = (weight.detach() - before[name]).std().item() if weight.numel() > 1 else 0.0
        assert moved == (pytest.approx(0.02 * before[name].std().item(), rel=0.2) if weight.ndim == 4 else 0.0), name


# --- roll-back -----------------------------------------------------------------------------------------------


class Ruin(L.Callback):
    """Multiplies the weights, before step ``at`` (from 0)."""

    def __init__(self, at: int, by: float) -> None:
        self.at, self.by = at, by

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
        if trainer.global_step == self.at:
            pl_module.network.w.data.mul_(self.by)


STILL: dict[str, Any] = {"optimizer": sgd(0.0), "jitter": 0.0, "check_every": 4}


def test_a_collapse_is_undone_at_the_next_look(tmp_path: Path) -> None:
    module = fit(tmp_path, prior(averaging=0.5, **STILL), Ruin(5, 40.0), max_steps=8)
    assert module.network.w.flatten().tolist() == [40.0, 80.0, 120.0]  # not yet looked at
    module = fit(tmp_path, prior(averaging=0.5, **STILL), Ruin(5, 40.0), max_steps=9)
    assert module.network.w.flatten().tolist() == [1.0, 2.0, 3.0]
    assert module.rolled_back == [8]
    assert torch.allclose(module.averaged, module(module.z))  # nothing of the collapse is left in it
    never = fit(tmp_path, prior(**STILL, roll_back=None), Ruin(5, 40.0), max_steps=9)
    assert never.rolled_back == []
    assert never.network.w.flatten().tolist() == [40.0, 80.0, 120.0]


def fall(by: float) -> float:
    """How many dB the PSNR of the toy falls when its weights are multiplied."""
    module, (_, y) = prior(**STILL), pair()
    image = module(module.z)
    return float(psnr(image, y) - psnr(by * image, y))


def test_the_threshold_is_in_db(tmp_path: Path) -> None:
    found = fall(15.0)
    assert found > 0.5
    for threshold, times in ((found - 0.05, 1), (found + 0.05, 0)):
        module = fit(tmp_path, prior(**STILL, roll_back=threshold), Ruin(5, 15.0), max_steps=9)
        assert len(module.rolled_back) == times


def test_a_step_after_a_roll_back_is_taken_from_there(tmp_path: Path) -> None:
    settings = {**STILL, "optimizer": sgd(1.0)}
    plain = fit(tmp_path, prior(**settings), max_steps=5)  # step 4 is a look, its weights are good
    good = {name: value.clone() for name, value in plain.good.items()}
    ruined = fit(tmp_path, prior(**settings), Ruin(5, 400.0), max_steps=9)
    assert same(ruined.good, good)
    assert ruined.rolled_back == [8]
    again = fit(tmp_path, prior(**settings), max_steps=5)
    assert distance(weights(ruined.network), weights(again.network)) < 1e-6


def test_a_resumed_run_ends_where_the_uninterrupted_one_does_and_can_still_return(tmp_path: Path) -> None:
    def run(name: str, *callbacks: L.Callback, validations: int = 0) -> dict[str, Any]:
        last = tmp_path / name / "checkpoints" / "last.ckpt"
        module = prior(averaging=0.9, parameter_noise=0.01, check_every=4, optimizer=lambda p: Adam(p, lr=1e-3))
        fitting = trainer(
            tmp_path / name,
            Clock(g_steps=12, validations=validations),
            Checkpoints(every_steps=6),
            Ruin(5, 40.0),
            *callbacks,
        )
        fitting.fit(module, datamodule=Given(*pair()), ckpt_path=last if last.exists() else None)
        return torch.load(last, weights_only=True)

    whole = run("whole")
    with pytest.raises(RuntimeError, match="cut off"):
        run("cut", CutOff(7))
    cut = run("cut")
    for name in ("state_dict", "optimizer_states", "counters", "prior"):
        assert same(cut[name], whole[name]), name
    assert whole["prior"]["rolled_back"] == [8]
    assert [row[0] for row in whole["prior"]["curve"]] == [0, 10]
    assert same(run("looked", validations=3)["state_dict"], whole["state_dict"])


# --- learning ------------------------------------------------------------------------------------------------


def test_it_learns_an_image_before_its_noise(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.from_numpy(scene(32, 32) / 255).permute(2, 0, 1)[None].float()
    y = (x + 0.1 * torch.randn(x.shape)).clamp(0, 1)
    net = Skip(in_channels=8, channels=[12, 12], skips=[4, 4])
    module = prior(net, size=(32, 32), fixed_input=UniformNoise(8), optimizer=lambda p: Adam(p, lr=0.01))
    fit(tmp_path, module, Clock(g_steps=150, validations=0), batch=(x, y))
    first, last = module.curve[0], module.curve[-1]
    assert last[1] > first[1] + 5  # y is learned
    assert last[3] > float(psnr(y, x)) + 3  # and x is nearer
    shown = module.panels()
    assert torch.equal(shown["restored"][0, 2], (module.averaged[0] * 255).round().to(torch.uint8))
    assert shown["restored"].shape == (1, 4, 3, 32, 32)
    assert shown["psnr"].shape == (1, 3, 400, 640)


@pytest.mark.usefixtures(place.__name__)
def test_an_unknown_truth_is_compared_with_nothing(tmp_path: Path) -> None:
    damaged = data(Noise(0), truth=False)
    assert "beginning" not in (damaged.findings or {})
    with pytest.raises(ValueError, match="set fidelity to null"):
        damaged.pairs()
    module = prior(size=(24, 32))
    trainer(tmp_path / "run", max_steps=1).fit(module, datamodule=damaged)
    assert "psnr/damaged" in module.row
    assert "psnr/averaged" not in module.row
    assert module.panels()["restored"].shape == (1, 3, 3, 24, 32)
