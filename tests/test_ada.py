"""ADA: the pipeline's operations by hand, p's moves by hand, and both kept through a resume."""

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
import torch.distributed as dist
from resuming import CutOff
from toys import Recording, dcgans, free_port, same, start, trainer, wait

from datamodules.digits import Digits
from lightning_modules.augment.ada import ADA
from lightning_modules.augment.pipeline import Blit, ColourChange, Geometry, Operation, Pipeline
from lightning_modules.augment.warp import CENTRE, SYM6, Bilinear, down, up, warp
from lightning_modules.callbacks.checkpoints import Checkpoints
from lightning_modules.callbacks.clock import Clock
from lightning_modules.losses.penalties import R1

ALWAYS, NEVER = torch.tensor(1.0), torch.tensor(0.0)
OPERATIONS = [Blit(), Geometry(), ColourChange()]


def smooth(n: int, side: int = 24) -> torch.Tensor:
    """Images without fine detail, other in every direction."""
    at = torch.linspace(0, 2, side, dtype=torch.double)
    phase = torch.rand(n, 1, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    return torch.sin(1.3 * at + phase * 6).mT + torch.cos(2 * at + at[:, None] * phase)


# --- the warp -----------------------------------------------------------------------------------------------


def test_the_filter_is_orthogonal_to_its_shifts_and_kills_cubes() -> None:
    f = torch.tensor(SYM6, dtype=torch.double)
    assert f.sum().item() == pytest.approx(2**0.5, abs=1e-11)
    for shift in range(6):
        assert (f[2 * shift :] * f[: 12 - 2 * shift]).sum().item() == pytest.approx(float(shift == 0), abs=1e-11)
    high = f.flip(0) * torch.tensor([1.0, -1.0]).repeat(6)
    for power in range(6):
        assert (high * torch.arange(12.0, dtype=torch.double) ** power).sum().abs() < 1e-6


def test_up_and_down_is_nothing() -> None:
    x = torch.empty(0, dtype=torch.double)
    there = up(x, 9)
    there = torch.cat([there[:-1], there[:-1]])[: 2 * 9 + 10]  # one period after the other
    assert (down(x, 9) @ there - torch.eye(9)).abs().max() < 1e-11


def test_a_bilinear_sample_is_twice_differentiable_without_torchs_second_derivative() -> None:
    x = torch.rand(2, 3, 5, 7, dtype=torch.double, requires_grad=True)
    grid = 2.6 * torch.rand(2, 4, 6, 2, dtype=torch.double) - 1.3  # some of it beyond the border
    assert torch.equal(Bilinear.apply(x, grid), torch.nn.functional.grid_sample(x, grid, align_corners=True))
    assert torch.autograd.gradcheck(lambda x: Bilinear.apply(x, grid), x)
    assert torch.autograd.gradgradcheck(lambda x: Bilinear.apply(x, grid).pow(3), x)
    inverse = torch.eye(2, 3, dtype=torch.double)[None].repeat(2, 1, 1)
    (slope,) = torch.autograd.grad(warp(x, inverse).square().sum(), x, create_graph=True)
    walk, names = [slope.grad_fn], set()
    while walk:
        node = walk.pop()
        if node is not None and node not in names:
            names.add(node)
            walk += [one for one, _ in node.next_functions]
    assert not [name for name in map(str, names) if "GridSampler" in name or "grid_sampler" in name]


def test_the_identity_warps_to_the_image() -> None:
    x = torch.randn(3, 2, 8, 11, dtype=torch.double)
    identity = torch.eye(2, 3, dtype=torch.double).expand(3, 2, 3)
    assert (warp(x, identity) - x).abs().max() < 1e-10


@pytest.mark.parametrize("pixels", [1, 5])
def test_a_shift_shows_the_reflected_image(pixels: int) -> None:
    x = torch.randn(1, 1, 8, 8, dtype=torch.double)
    moved = warp(x, torch.tensor([[[1.0, 0.0, pixels], [0.0, 1.0, 0.0]]], dtype=torch.double))
    beyond = torch.cat([x, x.flip(3)[..., 1:]], dim=3)  # reflected about its last pixel
    assert (moved - beyond[..., pixels : pixels + 8]).abs().max() < 1e-10


@pytest.mark.parametrize(("angle", "turns"), [(90, 1), (-90, -1), (180, 2)])
def test_a_turn_is_a_turn(angle: int, turns: int) -> None:
    x = smooth(4)
    cos, sin = round(torch.tensor(angle).deg2rad().cos().item()), round(torch.tensor(angle).deg2rad().sin().item())
    inverse = torch.tensor([[[cos, -sin, 0], [sin, cos, 0]]], dtype=torch.double).expand(4, 2, 3)
    assert (warp(x, inverse) - x.rot90(turns, (2, 3)))[:, :, 3:-3, 3:-3].abs().max() < 3e-3
    assert (x - x.rot90(turns, (2, 3))).abs().max() > 0.5


def test_the_centre_is_where_a_ramp_stays_a_ramp() -> None:
    x = torch.arange(40.0, dtype=torch.double)
    sample = torch.arange(30, 70)  # far from both ends
    assert (up(x, 40)[sample] @ x - (sample.double() - CENTRE) / 2).abs().max() < 1e-7


# --- operations by hand -------------------------------------------------------------------------------------


def test_blitting_makes_every_one_of_eight_orientations() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 1, 4, 4).expand(2000, 1, 4, 4)  # no shift: an eighth of 4 px is less than one
    y = Blit()(x, ALWAYS)
    views = [flipped.rot90(k, (1, 2)) for flipped in (x[0], x[0].flip(2)) for k in range(4)]
    found = torch.stack([(y == view).flatten(1).all(1) for view in views])
    assert (found.sum(0) == 1).all()
    shares = found.float().mean(1)
    assert (shares - 1 / 8).abs().max() < 0.03


def test_blitting_shifts_by_up_to_an_eighth_and_reflects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Blit, "share", lambda self, x: torch.tensor([0.125, -0.125]))
    monkeypatch.setattr(torch, "randint", lambda high, size, device: torch.zeros(size, dtype=torch.long))
    x = torch.arange(64.0).view(1, 1, 8, 8).repeat(2, 1, 1, 1)
    y = Blit()(x, ALWAYS)  # by one pixel in both directions, each
    assert torch.equal(y[0, 0, 1:, 1:], x[0, 0, :-1, :-1])
    assert torch.equal(y[0, 0, 0, 1:], x[0, 0, 1, :-1])  # row -1 is row 1
    assert torch.equal(y[1, 0, :-1, :-1], x[1, 0, 1:, 1:])


def test_what_is_not_square_is_turned_by_half_turns_only() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 1, 2, 3).expand(400, 1, 2, 3)
    y = Blit()(x, ALWAYS)
    views = [x[0], x[0].flip(2), x[0].flip(1), x[0].flip(1, 2)]
    found = torch.stack([(y == view).flatten(1).all(1) for view in views])
    assert (found.sum(0) == 1).all()
    assert found.any(1).all()


def test_colour_of_grey_is_brightness_contrast_and_reversal() -> None:
    torch.manual_seed(0)
    x = torch.tensor([0.5, -0.5]).view(1, 1, 1, 2).expand(20_000, 1, 1, 2)
    y = ColourChange()(x, ALWAYS)
    slope, middle = y[..., 0] - y[..., 1], (y[..., 0] + y[..., 1]) / 2
    assert (slope < 0).float().mean().item() == pytest.approx(0.5, abs=0.02)
    assert slope.abs().log2().std().item() == pytest.approx(0.5, abs=0.02)
    assert (middle / slope).std().item() == pytest.approx(0.2, abs=0.01)


def test_the_colour_matrix_by_hand() -> None:
    grey = torch.ones(3) / 3**0.5
    one, zero = torch.ones(1), torch.zeros(1)
    third = torch.tensor([2 * torch.pi / 3])
    at = ColourChange().around_grey
    assert torch.allclose(at(one, zero, one)[0], torch.eye(3), atol=1e-6)
    assert torch.allclose(at(-one, zero, one)[0], torch.eye(3) - 2 * grey.outer(grey), atol=1e-6)  # Householder's
    assert torch.allclose(at(one, zero, zero)[0], torch.full((3, 3), 1 / 3), atol=1e-6)  # grey
    assert torch.allclose(at(one, third, one)[0], torch.eye(3).roll(1, 0), atol=1e-6)  # red to green to blue
    both = at(one, torch.tensor([0.7]), torch.tensor([2.0]))[0]
    assert torch.allclose(both @ grey, grey, atol=1e-6)
    assert torch.linalg.det(both).item() == pytest.approx(4.0, abs=1e-5)


def test_other_channels_have_no_colour() -> None:
    with pytest.raises(ValueError, match="1 or 3 channels, not 2: leave it out"):
        ColourChange()(torch.zeros(1, 2, 8, 8), ALWAYS)


# --- the probability ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_at_p_0_ada_is_the_identity(channels: int) -> None:
    x = torch.randn(64, channels, 16, 16)
    assert torch.equal(ADA()(x), x)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: type(operation).__name__)
def test_p_is_the_share_of_images_that_each_part_strikes(operation: Operation) -> None:
    torch.manual_seed(0)
    x = torch.randn(4000, 3, 16, 16)
    changed = (operation(x, torch.tensor(0.3)) != x).flatten(1).any(1).float().mean().item()
    # mirrored half the time, turned three times of four, moved by nothing 1 time of 4 along each of two axes;
    # scaled, turned, stretched and shifted; brightness, contrast, reversed half the time, hue, saturation
    still = {Blit: (1 - 0.15) * (1 - 0.225) * (1 - 0.3 * 15 / 16), Geometry: 0.7**4, ColourChange: 0.7**4 * 0.85}
    assert changed == pytest.approx(1 - still[type(operation)], abs=0.03)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: type(operation).__name__)
def test_gradients_flow_twice_through_every_operation(operation: Operation) -> None:
    def change(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(1)
        return operation(x, torch.tensor(0.7))

    x = torch.randn(2, 3, 4, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(change, x)
    assert torch.autograd.gradgradcheck(lambda x: change(x).pow(3), x)


def told(ada: ADA, *batches: list[float]) -> list[float]:
    """p after each of ``batches`` of D's logits."""
    found = []
    for step, logits in enumerate(batches, start=1):
        ada.observe(torch.tensor(logits), len(logits))
        found.append(ada.adapt(step)["augment/p"].item())
    return found


def test_p_moves_by_hand() -> None:
    sure, unsure = [1.0, 2.0, 0.1, 3.0], [1.0, -1.0, 2.0, -5.0]
    ada = ADA(target=0.6, kimg=0.08, every=2, ceiling=0.25)
    # 8 images of 80: a tenth at a time, up where the mean sign lies above .6, down below, between 0 and the ceiling
    assert told(ada, unsure, unsure, sure, sure, sure, sure, sure, sure, unsure, unsure) == pytest.approx(
        [0, 0, 0, 0.1, 0.1, 0.2, 0.2, 0.25, 0.25, 0.15]
    )
    assert told(ADA(target=0.5, kimg=0.08, every=2), sure, unsure) == [0, 0]  # a mean of .5 is the target itself
    assert told(ADA(target=0.49, kimg=0.08, every=2), sure, unsure) == pytest.approx([0, 0.1])


def test_patches_and_packs_count_as_their_images() -> None:
    ada = ADA(kimg=0.08, every=1)
    ada.observe(torch.ones(4, 3, 3), images=4)
    ada.observe(torch.ones(2), images=4)
    assert ada.adapt(1)["augment/p"].item() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"target": 1.0}, "target"), ({"kimg": 0}, "kimg"), ({"every": 0}, "every"), ({"ceiling": 1.1}, "ceiling")],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ADA(**settings)
    with pytest.raises(ValueError, match="p is a probability"):
        Pipeline(1.5)


# --- in a run -----------------------------------------------------------------------------------------------

STEPS = 12


def run(folder: Path, *callbacks: L.Callback) -> Recording:
    last = folder / "checkpoints" / "last.ckpt"
    G, D = dcgans()
    torch.nn.init.constant_(D.head.bias, 9.0)  # type: ignore[arg-type]  # sure of everything
    net = Recording(G, D, augment=ADA(kimg=0.5, every=4), penalties=[R1(every=3)], micro_batch=16)
    fit = trainer(folder, Clock(g_steps=STEPS, validations=0), Checkpoints(every_steps=6), *callbacks)
    fit.fit(net, datamodule=Digits(size=8, batch_size=32), ckpt_path=last if last.exists() else None)
    return net


def test_a_resumed_run_keeps_p_and_what_was_heard(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="cut off"):
        run(tmp_path / "cut", CutOff(9))
    cut = torch.load(tmp_path / "cut" / "checkpoints" / "last.ckpt", weights_only=True)
    assert cut["state_dict"]["augment.heard"].tolist()[1:] == [64, 64]  # of the two steps since the last move
    resumed = run(tmp_path / "cut")
    assert resumed.rows == whole.rows[6:]
    assert [row["augment/p"] for row in whole.rows] == pytest.approx([0] * 3 + [0.256] * 4 + [0.512] * 4 + [0.768])
    last = [torch.load(tmp_path / name / "checkpoints" / "last.ckpt", weights_only=True) for name in ("whole", "cut")]
    assert same(last[0]["state_dict"], last[1]["state_dict"])


def hear(rank: int, port: int, folder: Path) -> None:
    """One rank of two hears a sure D, the other an unsure one, of twice as many images."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    ada = ADA(target=0.3, kimg=0.1, every=1)
    logits = torch.ones(8) if rank == 0 else torch.tensor([1.0, -1.0] * 8)
    ada.observe(logits, len(logits))
    ada.adapt(1)
    torch.save(ada.state_dict(), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_ranks_hear_together(tmp_path: Path) -> None:
    port = free_port()
    wait([start(hear, rank, port, tmp_path) for rank in range(2)])
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    assert same(*found)
    assert found[0]["p"].item() == pytest.approx(24 / 100)  # the mean of 24 signs is 1/3
    assert found[0]["heard"].tolist() == [0, 0, 0]
