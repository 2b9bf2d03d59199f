"""Scores of fidelity over a set of images: exact means, rows named after their protocol, ranks, and bad input."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from lightning_modules.metrics.fidelity.metrics import MAE, MSSSIM, PSNR, SSIM, Fidelity, fidelity
from lightning_modules.metrics.fidelity.pixelwise import mae, psnr
from lightning_modules.metrics.fidelity.protocol import FidelityProtocol, pair
from lightning_modules.metrics.fidelity.ssim import ms_ssim, ssim

HOLE = FidelityProtocol(hole=True)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def damaged(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """An image and a damaged copy."""
    image = noise(*shape, seed=seed)
    return image // 2 + noise(*shape, seed=seed + 100) // 2, image


# --- means over images --------------------------------------------------------------------------------------


def test_every_image_counts_the_same_whatever_its_size_or_batch() -> None:
    pairs = [damaged(3, 3, 20, 20), damaged(1, 3, 40, 33, seed=1)]
    metric = Fidelity()
    for a, b in pairs:
        metric.update(a, b)
    for name, measure in (("psnr@rgb", psnr), ("ssim@rgb", ssim), ("mae@rgb", mae)):
        values = torch.cat([measure(pair(a, b)) for a, b in pairs])
        assert len(values) == 4
        assert metric.as_floats()[name] == pytest.approx(values.mean().item(), abs=1e-12)


def test_a_table_row_names_its_protocol() -> None:
    a, b = damaged(2, 3, 30, 30)
    assert list(fidelity(a, b)) == ["psnr@rgb", "ssim@rgb", "mae@rgb"]
    assert list(fidelity(a, b, FidelityProtocol("y8", 4))) == ["psnr@y8-shave4", "ssim@y8-shave4", "mae@y8-shave4"]
    inside = torch.ones(2, 1, 30, 30).bool()
    assert "psnr@y8_full-hole" in fidelity(a, b, FidelityProtocol("y8_full", hole=True), inside)
    protocol = FidelityProtocol("y", 1, True)
    assert FidelityProtocol(**protocol.as_dict()) == protocol  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("metric", "measure", "better"), [(PSNR, psnr, 1), (SSIM, ssim, 1), (MSSSIM, ms_ssim, 1), (MAE, mae, 0)]
)
def test_metrics_are_the_means_of_their_function(metric: type[PSNR], measure: Callable, better: int) -> None:
    a, b = damaged(3, 1, 180, 190)
    protocol, ours = FidelityProtocol("grey", shave=2), metric(FidelityProtocol("grey", shave=2))
    ours.update(a[:1], b[:1])
    ours.update(a[1:], b[1:])
    assert ours.compute().item() == pytest.approx(measure(pair(a, b, protocol)).mean().item(), abs=1e-12)
    assert ours.compute().dtype == torch.float64
    assert ours.higher_is_better == bool(better)


def test_one_perfect_image_makes_the_mean_infinite() -> None:
    metric = PSNR()
    metric.update(GOOD, GOOD + torch.arange(2, dtype=torch.uint8).view(2, 1, 1, 1))
    assert metric.compute().item() == math.inf


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_no_image_has_no_mean() -> None:
    with pytest.raises(ValueError, match="no mean over no images"):
        PSNR().compute()


def _scores(part: slice) -> dict[str, float]:
    a, b = damaged(5, 3, 30, 30)
    metric = Fidelity(FidelityProtocol("y8", 2))
    metric.update(a[part], b[part])
    return metric.as_floats()


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(_scores(slice(rank * 2, 2 if rank == 0 else 5)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_ranks_of_unequal_share_equal_one(tmp_path: Path) -> None:
    mp.spawn(_rank, (str(tmp_path),), nprocs=2)
    one = _scores(slice(0, 5))
    for rank in (0, 1):
        assert torch.load(tmp_path / f"{rank}.pt") == pytest.approx(one, rel=1e-14)


# --- bad input ----------------------------------------------------------------------------------------------

GOOD = noise(2, 3, 16, 16)
NAN = torch.rand(2, 3, 16, 16).index_fill(0, torch.tensor([1]), math.nan)


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        (GOOD / 127.5 - 1, GOOD, r"prediction's floats reach from -1 to 1: give uint8, or"),
        (GOOD, GOOD.float(), "target's floats reach from 0 to 255"),
        (NAN, GOOD, "prediction has pixels that are NaN or infinite"),
        (GOOD, NAN / 0, "target has pixels that are NaN or infinite"),
        (GOOD.int(), GOOD, "prediction is torch.int32: give uint8, or floats"),
        (GOOD, GOOD[..., 1:], r"prediction is \[2, 3, 16, 16\] and the target \[2, 3, 16, 15\]"),
        (GOOD[:1], GOOD, "only images of the same count and size"),
        (GOOD[:, :1], GOOD, "prediction is grey and the target RGB"),
        (GOOD, GOOD[:, :1], "target is grey and the prediction RGB"),
        (GOOD[0], GOOD[0], r"prediction is of shape \[3, 16, 16\]"),
        (noise(1, 4, 16, 16), noise(1, 4, 16, 16), "without alpha"),
        (GOOD[:0], GOOD[:0], r"of shape \[0, 3, 16, 16\]"),
    ],
)
def test_images_that_cannot_be_compared(prediction: Tensor, target: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        fidelity(prediction, target)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("protocol", "hole", "message"),
    [
        (FidelityProtocol(shave=8), None, "Nothing is left of 16x16 images after a shave of 8 pixels"),
        (FidelityProtocol(shave=3), None, "SSIM needs at least 11x11 pixels, and 10x10 are left after the shave"),
        (FidelityProtocol("grey"), None, "compares grey images and these are RGB"),
        (HOLE, None, "scores the hole only, so give the mask"),
        (FidelityProtocol(), torch.ones(2, 1, 16, 16).bool(), "A mask was given, but"),
        (HOLE, torch.ones(2, 1, 16, 16), r"mask is torch.float32 \[2, 1, 16, 16\]: give bool"),
        (HOLE, torch.ones(2, 3, 16, 16).bool(), r"give bool \[2, 1, 16, 16\]"),
        (
            HOLE,
            torch.arange(2).view(2, 1, 1, 1).expand(2, 1, 16, 16) > 0,
            "mask of image 0 of the batch marks no pixel",
        ),
        (HOLE, (torch.arange(16) < 5).expand(2, 1, 16, 16), "inside the margin that SSIM's window needs"),
    ],
)
def test_protocols_that_the_images_cannot_follow(protocol: FidelityProtocol, hole: Tensor | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fidelity(GOOD, GOOD, protocol, hole)


def test_ms_ssim_refuses_small_images_and_holes() -> None:
    small = noise(1, 1, 175, 200)
    with pytest.raises(ValueError, match="MS-SSIM needs at least 176x176 pixels, and 175x200 are left"):
        ms_ssim(pair(small, small))
    with pytest.raises(ValueError, match="MS-SSIM is not defined on a hole"):
        ms_ssim(pair(small, small, HOLE, torch.ones(1, 1, 175, 200).bool()))


def test_protocols_that_nothing_can_follow() -> None:
    with pytest.raises(ValueError, match="colour 'ycc' is unknown: choose one of rgb, grey, y8, y, y8_full"):
        FidelityProtocol("ycc")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shave is -1"):
        FidelityProtocol(shave=-1)
