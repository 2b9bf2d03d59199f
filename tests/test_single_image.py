"""One image and its damages by hand, what is seen through them, and the sentences for bad files."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command_line import place
from PIL import Image

from datamodules.damage import Holed, Masked, Noise, Shrinking, Sparse
from datamodules.functional.lanczos import shrink_by
from datamodules.single_image import SingleImage
from lightning_modules.deep_image_prior import psnr
from lightning_modules.losses.observations import Known, Shrunk, Whole

pytestmark = pytest.mark.usefixtures(place.__name__)

# --- shrinking by Lanczos's kernel ---------------------------------------------------------------------------


def lanczos2(t: float) -> float:
    if abs(t) >= 2:
        return 0.0
    return 1.0 if t == 0 else 2 * math.sin(math.pi * t) * math.sin(math.pi * t / 2) / (math.pi * t) ** 2


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_an_output_pixel_is_the_normalised_kernel_around_its_middle(factor: int) -> None:
    side = 12 * factor
    image = torch.rand(1, 2, side, side, generator=torch.Generator().manual_seed(0))
    found = shrink_by(image, factor)
    assert found.shape == (1, 2, 12, 12)
    for i, j in ((4, 5), (6, 3)):
        weight = [[lanczos2((at + 0.5) / factor - middle - 0.5) for at in range(side)] for middle in (i, j)]
        kernel = torch.outer(*(torch.tensor(row, dtype=torch.float64) for row in weight))
        by_hand = (image[0].double() * kernel).sum((1, 2)) / kernel.sum()
        assert torch.allclose(found[0, :, i, j].double(), by_hand, atol=1e-6)


def test_a_constant_stays_to_the_border_and_a_factor_must_divide() -> None:
    assert torch.allclose(shrink_by(torch.full((1, 1, 8, 12), 0.3), 4), torch.full((1, 1, 2, 3), 0.3))
    with pytest.raises(ValueError, match="12 x 9 is not to be shrunk by 4: crop it to a multiple"):
        shrink_by(torch.zeros(1, 1, 9, 12), 4)


# --- observations --------------------------------------------------------------------------------------------


def test_observations_by_hand() -> None:
    image = torch.rand(1, 2, 4, 4)
    hole = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    hole[..., 1, 2] = True
    seen = Known()(image, hole)
    assert seen[0, :, 1, 2].tolist() == [0, 0]
    assert torch.equal(seen[~hole.expand_as(seen)], image[~hole.expand_as(image)])
    assert torch.equal(Shrunk(2)(image), shrink_by(image, 2))
    assert Whole()(image) is image
    with pytest.raises(ValueError, match="factor must be 1 or more, got 0"):
        Shrunk(0)


# --- damages -------------------------------------------------------------------------------------------------


def save(file: str, pixels: np.ndarray) -> str:
    path = Path("data") / file
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return file


def scene(H: int = 24, W: int = 32) -> np.ndarray:
    """A smooth image of three colours."""
    down, across = np.mgrid[0:H, 0:W] / max(H, W)
    return np.stack([60 + 120 * down, 200 - 150 * across, 100 + 60 * np.sin(6 * down * across)], axis=2)


def data(damage: Any, pixels: np.ndarray | None = None, **settings: Any) -> SingleImage:
    return SingleImage(save("a.png", scene() if pixels is None else pixels), damage, root="data", **settings)


def test_noise_is_gaussian_clipped_and_of_the_seed() -> None:
    x, y = data(Noise(25), np.full((200, 200), 128)).batch
    assert (y - x).std().item() == pytest.approx(25 / 255, rel=0.02)
    assert abs((y - x).mean().item()) < 0.002
    assert torch.equal(data(Noise(25), np.full((200, 200), 128)).batch[1], y)
    other = data(Noise(25), np.full((200, 200), 128), seed=1)
    assert other.pair.sha256 != data(Noise(25), np.full((200, 200), 128)).pair.sha256
    dark = data(Noise(25), np.zeros((200, 200)))
    assert dark.batch[1].min() == 0
    assert (dark.batch[1] == 0).float().mean().item() == pytest.approx(0.5, abs=0.02)
    clean = data(Noise(0))
    assert torch.equal(*clean.batch[:2])


def test_a_small_image_is_pillows() -> None:
    x, y = data(Shrinking(4)).batch
    small = Image.open("data/a.png").resize((8, 6), Image.Resampling.LANCZOS)
    assert torch.allclose(y * 255, torch.from_numpy(np.array(small)).permute(2, 0, 1)[None].float())
    assert (shrink_by(x, 4) - y).abs().max() < 0.05  # what the loss sees is near: another kernel of the same kind
    with pytest.raises(ValueError, match=r"30 x 24 is no multiple of 4: .* such as \[24, 28\]"):
        _ = data(Shrinking(4), crop=(24, 30)).pair


def test_a_mask_is_black_where_pixels_are_missing_and_cropped_alike() -> None:
    mask = np.full((24, 32), 255)
    mask[10:12, 20:25] = 0
    found = data(Masked(save("m.png", mask)), crop=(12, 20)).batch
    assert isinstance(found, Holed)
    expected = torch.zeros(1, 1, 12, 20, dtype=torch.bool)
    expected[..., 4:6, 14:19] = True  # 6 rows and 6 columns are cut off at the beginning
    assert torch.equal(found.hole, expected)
    assert torch.allclose(found.x[0, 0] * 255, torch.from_numpy(scene().astype(np.uint8)[6:18, 6:26, 0]).float())
    assert torch.equal(found.y, found.x * ~expected)
    with pytest.raises(ValueError, match=r"m.png is 32 x 20 and the image 32 x 24"):
        _ = data(Masked(save("m.png", mask[:20]))).pair
    with pytest.raises(ValueError, match="No pixel of the image is missing under m"):
        _ = data(Masked(save("m.png", mask)), crop=4).pair


def test_a_share_of_pixels_is_missing_with_all_their_channels() -> None:
    found = data(Sparse(0.3), np.full((200, 200, 3), 90)).batch
    assert isinstance(found, Holed)
    assert found.hole.float().mean().item() == pytest.approx(0.3, abs=0.01)
    assert ((found.y == 0) == found.hole).all()


def test_where_a_method_begins_by_hand() -> None:
    pixels, mask = np.full((10, 10), 100), np.full((10, 10), 255)
    pixels[0], mask[0] = 120, 0
    holed = data(Masked(save("m.png", mask)), pixels)
    assert holed.findings == {
        **{"image": "a-m", "shape": [1, 10, 10], "hole": 0.1},
        "beginning": {"mean-fill/psnr@rgb-hole": round(20 * math.log10(255 / 20), 6)},
    }
    noisy = data(Noise(25))
    x, y = noisy.batch[:2]
    assert noisy.findings is not None
    assert noisy.findings["beginning"]["noisy/psnr@rgb"] == pytest.approx(float(psnr(x, y)), abs=0.02)  # 8 bits
    (large,) = data(Shrinking(2), np.full((8, 8), 50)).damage.beginning(data(Shrinking(2)).batch).values()
    assert large > 30  # a smooth scene


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"crop": 25}, "a.png is 32 x 24 px, less than 25 x 25"),
        ({"crop": 0}, "crop is 0: set data.init_args.crop to 1 px or more"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"damage": Shrinking(2), "truth": False}, "x2 makes y of the clean image"),
    ],
)
def test_what_cannot_be_fed_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        _ = data(**{"damage": Noise(), **settings}).pair


def test_files_that_are_no_images_are_named() -> None:
    Path("data").mkdir()
    Path("data/b.png").write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"data/b.png gives no image \(not an image"):
        SingleImage("b.png", Noise(), root="data").setup("fit")
    with pytest.raises(FileNotFoundError, match=r"data/c.png: absent; it should be an image file"):
        SingleImage("c.png", Noise(), root="data").setup("fit")


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (lambda: Noise(-1), "sigma is -1"),
        (lambda: Shrinking(1), "factor is 1"),
        (lambda: Sparse(1.0), "share is 1.0"),
    ],
)
def test_damages_that_cannot_be_are_refused(make: Any, settings: str) -> None:
    with pytest.raises(ValueError, match=settings):
        make()
