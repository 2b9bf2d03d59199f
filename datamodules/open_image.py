"""An image file opened: which formats, how large, what is damaged, and what its header says before it is decoded."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from PIL import Image, ImageFile, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".bmp", ".dib"),
    *(".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm"),
)
MAX_PIXELS = 2 * (Image.MAX_IMAGE_PIXELS or 89_478_485)  # where Pillow itself refuses to open a file
BYTES_A_PIXEL = 8  # of the largest format that is read: 16-bit RGBA, uncompressed
EXIF_PLACES = {"exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"}


class BadImageError(ValueError):
    """A file that gives no image. The message says why, without the file's name."""


class PassingError(BadImageError):
    """A file that gives no image now, for a reason that lies not in its bytes: it may give one the next time."""


def most_bytes(max_pixels: int) -> int:
    """A file with more bytes holds more than ``max_pixels``, or is none of the formats."""
    return BYTES_A_PIXEL * max_pixels + 2**20


@contextmanager
def opened(content: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """The image in ``content``, its header read and found to promise no more than ``max_pixels``.

    Raises:
        BadImageError: it cannot be opened, or the block meets damage in it.
    """
    if not content:
        raise BadImageError("empty file")
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                pixels = f"{width} x {height} = {width * height:,}"
                raise BadImageError(f"{pixels} pixels are more than max_pixels {max_pixels:,}")
            yield image
    except BadImageError:
        raise
    except MemoryError as error:
        raise PassingError("more than there is memory for") from error
    except UnidentifiedImageError:
        raise BadImageError("not an image, or one without a whole header") from None
    except Image.DecompressionBombError as error:
        promised = int("".join(filter(str.isdigit, str(error).split("exceeds")[0])))
        raise BadImageError(f"{promised:,} pixels are more than max_pixels {max_pixels:,}") from None
    except Exception as error:  # a decoder that meets damage raises anything
        said = " ".join(str(error).split(" (")[0].split())  # without numbers that hang on a library's buffers
        raise BadImageError(f"damaged: {said or type(error).__name__}") from error


def is_16_bit_grey(image: Image.Image) -> bool:
    """Whether ``image``, as it was opened, holds 16-bit grey levels; Pillow calls those of a PGM file 32-bit."""
    return image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM")


def has_low_bytes(image: Image.Image) -> bool:
    """Whether the file of ``image``, of which nothing is decoded yet, has 16 bits a channel, of colour or grey."""
    tiles = image.tile if isinstance(image, ImageFile.ImageFile) else []  # the decoder's mode: what the file has
    return is_16_bit_grey(image) or ";16" in repr(tiles) or any(is_deep_ppm(tile) for tile in tiles)


def is_deep_ppm(tile: tuple[Any, ...]) -> bool:
    """Whether what is to be decoded are levels of a PPM file beyond 255: its decoder is told the largest one."""
    return tile[0].startswith("ppm") and isinstance(tile[3], tuple) and tile[3][1] > 255  # of bits it is told a word


def may_be_turned(image: Image.Image) -> bool:
    """Whether to look for an orientation in ``image``, which costs as much as decoding a small file."""
    return image.format == "TIFF" or not EXIF_PLACES.isdisjoint(image.info)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Keep Pillow's warnings of odd files to itself: what matters of them is in the report.

    For one thread at a time, around the threads that decode: Python's filters belong to the process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
