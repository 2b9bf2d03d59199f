"""From the bytes of an image file to uint8 pixels of one size: what is done to every file, in this order.

1. The header is read. A file that is no JPEG, PNG, WebP, BMP, GIF, TIFF or PPM, or that promises more than
   ``max_pixels`` (a decompression bomb), is refused before any pixel is decoded.
2. The first frame is decoded, whole, and no other (GIF, WebP, APNG, TIFF): a truncated file is refused.
3. It is turned as its EXIF orientation says, and cropped.
4. Colours: a palette is resolved; alpha is composited on a ground of one grey level; of 16 bits a channel the high
   byte is kept; grey becomes three equal channels, or colour one by ITU-R 601 luma; CMYK as Pillow converts it,
   without colour profiles. 32-bit pixels have no known range and are refused.
5. It is resized by one of Pillow's kernels, antialiased (the kernel widens when it shrinks), rounded to 8 bits.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps

from datamodules.open_image import (
    MAX_PIXELS,
    BadImageError,
    has_low_bytes,
    is_16_bit_grey,
    may_be_turned,
    most_bytes,
    opened,
)

Kernel = Literal["box", "bilinear", "bicubic", "lanczos"]
Crop = Literal["centre", "none"] | int

_KERNELS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
_ORIENTATION = 0x0112  # EXIF


class Decoded(NamedTuple):
    """One image, and what was done to it beyond a crop and a smaller size."""

    pixels: np.ndarray  # uint8 [H, W] or [H, W, 3]
    changes: tuple[str, ...]


@dataclass(frozen=True)
class Decoding:
    """How files become images. Calling it decodes one.

    Args:
        size: side of the square images that come out.
        channels: 3 for colour, 1 for grey.
        resize: Pillow's kernel.
        crop: "centre" cuts the largest centred square, a number a centred square of so many pixels, "none" nothing:
            then a file that is not square is refused, never squashed.
        background: grey level, 0 to 255, under transparent pixels.
        max_pixels: a file with more is refused by its header.

    Raises:
        ValueError: settings that no image can follow.
    """

    size: int
    channels: int = 3
    resize: Kernel = "lanczos"
    crop: Crop = "centre"
    background: int = 255
    max_pixels: int = 2**26

    def __post_init__(self) -> None:
        for name, value, most in (
            ("size", self.size, 2**14),
            ("max_pixels", self.max_pixels, MAX_PIXELS),
            ("crop", self.crop if isinstance(self.crop, int) else 1, 2**14),
        ):
            if not 1 <= value <= most:
                raise ValueError(f"{name} is {value}: set data.init_args.{name} to 1 up to {most}.")
        if self.channels not in (1, 3):
            raise ValueError(f"channels is {self.channels}: set data.init_args.channels to 1 (grey) or 3 (colour).")
        if not 0 <= self.background <= 255:
            raise ValueError(f"background is {self.background}: set data.init_args.background to 0 up to 255.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of every image."""
        return self.channels, self.size, self.size

    @property
    def max_bytes(self) -> int:
        """A file with more bytes holds more than ``max_pixels``, or is none of the formats."""
        return most_bytes(self.max_pixels)

    def __str__(self) -> str:
        cut = {"centre": "centre crop", "none": "no crop"}.get(str(self.crop), f"centre crop {self.crop}")
        return f"{cut}, {self.resize} to {self.size} px, {'colour' if self.channels == 3 else 'grey'}"

    def __call__(self, content: bytes) -> Decoded:
        """Decode the file whose bytes are ``content``.

        Raises:
            BadImageError: no image comes out, and why.
        """
        with opened(content, self.max_pixels) as image:
            self.check(image)
            return self._convert(image)

    def check(self, image: Image.Image) -> None:
        """See by its header that ``image`` may be decoded.

        Raises:
            BadImageError: it may not, and why.
        """
        width, height = image.size
        if self.crop == "none" and width != height:
            raise BadImageError(f"{width} x {height} is not square and crop is none")
        if isinstance(self.crop, int) and min(image.size) < self.crop:
            raise BadImageError(f"{width} x {height} is smaller than crop {self.crop}")

    def _convert(self, image: Image.Image) -> Decoded:
        changes = []
        is_deep_grey = is_16_bit_grey(image)  # asked before it is decoded: what was turned or cut no longer knows
        if has_low_bytes(image):
            changes.append("16 bits to 8")
        if getattr(image, "is_animated", False):
            changes.append("first frame of several")
        if may_be_turned(image):
            turned = image.getexif().get(_ORIENTATION, 1)
            image = ImageOps.exif_transpose(image)
            if turned in range(2, 9):
                changes.append("turned by EXIF orientation")
        image = self._cropped(image)
        if is_deep_grey:
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        image = self._coloured(image, changes)
        if image.width < self.size:
            changes.append("enlarged")
        if image.width != self.size:
            image = image.resize((self.size, self.size), _KERNELS[self.resize])
        return Decoded(np.asarray(image), tuple(changes))

    def _cropped(self, image: Image.Image) -> Image.Image:
        side = self.crop if isinstance(self.crop, int) else min(image.size)
        if image.size == (side, side):
            return image
        left, top = (round((length - side) / 2) for length in image.size)
        return image.crop((left, top, left + side, top + side))

    def _coloured(self, image: Image.Image, changes: list[str]) -> Image.Image:
        wanted = "RGB" if self.channels == 3 else "L"
        if image.mode == wanted and not image.has_transparency_data:
            return image
        if image.mode in ("I", "F"):
            raise BadImageError("32 bits a pixel, whose range is not known")
        if image.mode in ("P", "PA"):
            changes.append("palette")
        if image.has_transparency_data:
            changes.append(f"alpha on {self.background}")
            return self._on_ground(image.convert("RGBA")).convert(wanted)
        if image.mode in ("1", "L") and wanted == "RGB":
            changes.append("grey to colour")
        if image.mode not in ("1", "L") and wanted == "L":
            changes.append("colour to grey")
        if image.mode == "CMYK":
            changes.append("CMYK")
        # a palette knows its colours, a grey of it is that of those
        return (image.convert("RGB") if image.mode == "P" else image).convert(wanted)

    def _on_ground(self, image: Image.Image) -> Image.Image:
        ground = Image.new("RGBA", image.size, (self.background,) * 3 + (255,))
        ground.alpha_composite(image)
        return ground


def decode_whole(content: bytes, max_pixels: int = 2**26) -> np.ndarray:
    """The pixels of the file whose bytes are ``content``, whatever its size, and nothing done to them.

    Returns:
        uint8 [H, W] of grey, [H, W, 3] of colour; of a palette the colours that it stands for.

    Raises:
        BadImageError: no image comes out, or one with alpha or other than 8 bits a channel, and why.
    """
    with opened(content, max_pixels) as image:
        _check_whole(image)
        return _pixels(image)


def decode_upright(content: bytes, max_pixels: int = 2**26) -> np.ndarray:
    """As ``decode_whole``, but turned as the file's EXIF orientation says: as a viewer shows it.

    Raises:
        BadImageError: as there.
    """
    with opened(content, max_pixels) as image:
        _check_whole(image)
        return _pixels(ImageOps.exif_transpose(image))


def _check_whole(image: Image.Image) -> None:
    if image.has_transparency_data or image.mode not in ("L", "RGB", "P"):
        raise BadImageError(f"{image.mode} pixels, neither 8-bit grey nor RGB without transparency")
    if has_low_bytes(image):
        raise BadImageError("16 bits a channel, of which 8 would be lost")


def _pixels(image: Image.Image) -> np.ndarray:
    return np.array(image.convert("RGB") if image.mode == "P" else image)  # a copy, which torch may write to


def decode_opaque(content: bytes, max_pixels: int = 2**26) -> np.ndarray:
    """As ``decode_whole``; of an image with an alpha that is opaque everywhere, its colours.

    Raises:
        BadImageError: as there.
    """
    with opened(content, max_pixels) as image:
        if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
            return np.array(image.convert("RGB"))
    return decode_whole(content, max_pixels)


def decode_rgba(content: bytes, max_pixels: int = 2**26) -> np.ndarray:
    """The pixels of the file whose bytes are ``content``, with their alpha: uint8 [H, W, 4].

    Raises:
        BadImageError: no image comes out, or one without alpha or other than 8 bits a channel, and why.
    """
    with opened(content, max_pixels) as image:
        if not image.has_transparency_data or image.mode not in ("RGBA", "LA", "PA", "P", "L", "RGB"):
            raise BadImageError(f"{image.mode} pixels without transparency, where an alpha is asked for")
        return np.array(image.convert("RGBA"))
