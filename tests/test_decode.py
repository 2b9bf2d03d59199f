"""Laws of one image file: what becomes of each kind, and what is refused before or while it is decoded."""

import time
from contextlib import nullcontext

import numpy as np
import pytest
from PIL import Image, ImageFile
from torchvision.transforms.functional import InterpolationMode, center_crop, resize

from datamodules.decode import Decoding, decode_upright, decode_whole
from datamodules.open_image import MAX_PIXELS, BadImageError
from experiments.bench.mixed import bomb, deep, packed, picture


def image_of(pixels: object, mode: str | None = None) -> Image.Image:
    image = Image.fromarray(np.array(pixels, dtype=np.uint8))
    return image.convert(mode) if mode else image


def png(image: Image.Image, **settings) -> bytes:
    return packed(image, "PNG", **settings)


def photo(width: int = 90, height: int = 70, seed: int = 0) -> Image.Image:
    return picture(np.random.default_rng(seed), width, height)


@pytest.mark.parametrize("kernel", ["box", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("crop", "side"), [("centre", 70), (51, 51)])
def test_crop_and_resize_are_torchvisions(kernel, crop, side):
    cut = center_crop(photo(), [side, side])
    expected = np.asarray(resize(cut, [24, 24], InterpolationMode(kernel), antialias=True))
    pixels, changes = Decoding(24, resize=kernel, crop=crop)(png(photo()))
    assert (pixels == expected).all()
    assert changes == ()


def test_shrinking_averages_over_all_pixels():
    stripes = np.tile(
        np.array([0, 255], dtype=np.uint8), (64, 32)
    )  # a kernel that is not widened would see one of both
    for kernel in ("box", "bilinear", "bicubic", "lanczos"):
        pixels, _ = Decoding(2, 1, kernel)(png(image_of(stripes)))
        assert abs(pixels - 127.5).max() <= 1.5  # a kernel that is not widened would see one colour, or few of both


def test_an_image_of_the_right_size_is_not_touched():
    pixels, changes = Decoding(70, crop="none")(png(photo(70, 70)))
    assert (pixels == np.asarray(photo(70, 70))).all()
    assert changes == ()


def test_alpha_shows_the_ground_by_hand():
    rgba = image_of([[[200, 100, 0, 255], [200, 100, 0, 0], [200, 100, 0, 51]]] * 3)
    pixels, changes = Decoding(3, background=250)(png(rgba))
    assert pixels[0].tolist() == [[200, 100, 0], [250, 250, 250], [240, 220, 200]]  # 0.2 x + 0.8 x 250
    assert changes == ("alpha on 250",)
    grey = Decoding(3, 1, background=250)(png(rgba.convert("LA"))).pixels
    assert grey[0, 1] == 250


def test_a_palette_gives_its_colours_and_its_transparency():
    image = image_of([[0, 1], [1, 2]])
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 0, 250])
    pixels, changes = Decoding(2)(png(image))
    assert pixels.tolist() == [[[10, 20, 30], [200, 0, 0]], [[200, 0, 0], [0, 0, 250]]]
    assert changes == ("palette",)
    pixels, changes = Decoding(2)(png(image, transparency=1))
    assert pixels[0].tolist() == [[10, 20, 30], [255, 255, 255]]
    assert changes == ("palette", "alpha on 255")
    luma = round(0.299 * 10 + 0.587 * 20 + 0.114 * 30)
    assert Decoding(2, 1)(png(image)).pixels[0, 0] == luma


def test_of_sixteen_bits_the_high_byte_is_kept():
    deep = Image.fromarray(np.array([[0, 255, 256], [0x1234, 0x7FFF, 0xFFFF], [0, 0, 0]], dtype=np.uint16))
    expected = [[0, 0, 1], [0x12, 0x7F, 0xFF], [0, 0, 0]]
    for kind in ("PNG", "TIFF", "PPM"):
        pixels, changes = Decoding(3, 1)(packed(deep, kind))
        assert pixels.tolist() == expected, kind
        assert changes == ("16 bits to 8",)


def test_sixteen_bits_are_seen_whatever_is_cut_or_turned():
    levels = np.random.default_rng(0).integers(0, 2**16, (6, 9), dtype=np.uint16)
    cut = (levels[:, 2:8] >> 8).tolist()  # round(1.5) is 2
    for kind in ("PNG", "TIFF", "PPM"):
        pixels, changes = Decoding(6, 1)(packed(Image.fromarray(levels), kind))
        assert (pixels.tolist(), changes) == (cut, ("16 bits to 8",)), kind
    content = deep(np.stack([levels] * 3, axis=2))
    pixels, changes = Decoding(6)(content)
    assert (pixels[:, :, 1].tolist(), changes) == (cut, ("16 bits to 8",))
    with pytest.raises(BadImageError, match="16 bits a channel"):
        decode_whole(content)


@pytest.mark.parametrize("largest", [255, 1023, 65535])
def test_a_colour_file_of_netpbm_says_how_many_levels_it_has(largest):
    levels = np.arange(12, dtype=np.uint8 if largest == 255 else ">u2").tobytes()
    _, changes = Decoding(2)(f"P6 2 2 {largest}\n".encode() + levels)
    plain = f"P3 2 2 {largest}\n{' '.join(map(str, range(12)))}\n".encode()
    assert changes == Decoding(2)(plain).changes == (() if largest == 255 else ("16 bits to 8",))
    with pytest.raises(BadImageError, match="16 bits a channel") if largest > 255 else nullcontext():
        decode_whole(plain)
    assert Decoding(2, 1)(b"P1 2 2\n0 1 1 0\n").pixels.tolist() == [[255, 0], [0, 255]]


def test_a_single_photograph_stands_as_a_viewer_shows_it():
    image, exif = photo(20, 10), Image.Exif()
    exif[0x0112] = 6  # turned by a quarter clockwise
    lying = png(image, exif=exif)
    assert np.array_equal(decode_upright(lying), np.rot90(np.asarray(image), -1))
    assert np.array_equal(decode_whole(lying), np.asarray(image))
    assert np.array_equal(decode_upright(png(image)), np.asarray(image))


def test_grey_has_three_equal_channels_and_colour_one_luma():
    grey = photo(20, 20).convert("L")
    pixels, changes = Decoding(20)(png(grey))
    assert (pixels == np.asarray(grey)[..., None]).all()
    assert changes == ("grey to colour",)
    pixels, changes = Decoding(20, 1)(png(photo(20, 20)))
    r, g, b = np.moveaxis(np.asarray(photo(20, 20)).astype(float), -1, 0)
    assert abs(pixels - (0.299 * r + 0.587 * g + 0.114 * b)).max() <= 0.51
    assert changes == ("colour to grey",)


UPRIGHT = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
TURNED = {  # how a camera stores UPRIGHT under each orientation (EXIF 2.3, 4.6.4)
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.T,
    6: np.rot90(UPRIGHT),
    7: UPRIGHT[::-1, ::-1].T,
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_exif_orientation_is_followed(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.kron(TURNED[orientation], np.ones((8, 8), dtype=np.uint8)))
    settings = {"lossless": True} if kind == "WEBP" else {"quality": 100} if kind == "JPEG" else {}
    pixels, changes = Decoding(16, 1)(packed(stored, kind, exif=exif, **settings))
    upright = np.kron(UPRIGHT, np.ones((8, 8), dtype=np.uint8))[:, 4:20].astype(int)
    assert abs(pixels.astype(int) - upright).max() <= 1
    assert ("turned by EXIF orientation" in changes) == (orientation > 1)


def test_an_animation_gives_its_first_frame():
    frames = [image_of(np.full((4, 4), value), "RGB") for value in (10, 200)]
    for kind, settings in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        file = packed(frames[0], kind, save_all=True, append_images=frames[1:], **settings)
        pixels, changes = Decoding(4)(file)
        assert (pixels == 10).all(), kind
        assert "first frame of several" in changes


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty file"),
        (b"no image", "not an image"),
        (png(photo())[:30], "not an image|damaged"),
        (packed(photo(), "JPEG", quality=90)[:1000], "damaged: .*truncated"),
        (png(photo())[:3000], "damaged"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not an image"),  # no other program is started
        (packed(Image.fromarray(np.zeros((3, 3), dtype=np.float32)), "TIFF"), "range is not known"),
    ],
)
def test_what_gives_no_image_is_told(content, said):
    with pytest.raises(BadImageError, match=said) as error:
        Decoding(8)(content)
    assert "\n" not in str(error.value)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    def load(self):
        raise AssertionError("decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    started = time.perf_counter()
    with pytest.raises(BadImageError, match=r"^9000 x 9000 = 81,000,000 pixels are more than max_pixels 67,108,864$"):
        Decoding(8)(bomb(9000))
    with pytest.raises(BadImageError, match=r"^400,000,000 pixels are more than max_pixels 178,956,970$"):
        Decoding(8, max_pixels=MAX_PIXELS)(bomb(20_000))
    assert time.perf_counter() - started < 20


def test_crops_that_do_not_fit_are_told_and_small_images_enlarged():
    with pytest.raises(BadImageError, match="90 x 70 is not square and crop is none"):
        Decoding(8, crop="none")(png(photo()))
    with pytest.raises(BadImageError, match="90 x 70 is smaller than crop 80"):
        Decoding(8, crop=80)(png(photo()))
    pixels, changes = Decoding(100)(png(photo()))
    assert (pixels.shape, changes) == ((100, 100, 3), ("enlarged",))
