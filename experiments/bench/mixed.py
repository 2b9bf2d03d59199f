"""Image files as they come: many sizes and kinds, and three that give no image. Drawn from a seed."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("blobs", "stripes")
BOMB_SIDE = 10_000
BAD = {
    "blobs/truncated.jpg": "truncated",
    "stripes/bomb.png": f"{BOMB_SIDE} x {BOMB_SIDE} = 100,000,000 pixels",
    "stripes/letter.png": "not an image",
}


def picture(rng: np.random.Generator, width: int, height: int, striped: bool = False) -> Image.Image:
    """A colour picture with shapes of all scales and a little noise, so that it packs about as a photograph does."""
    coarse = Image.fromarray(rng.integers(0, 256, (8, 3 if striped else 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    noise = rng.normal(0, 6, (height, width, 1)).astype(np.float32)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def packed(image: Image.Image, kind: str, **settings: int) -> bytes:
    """The file of ``image``."""
    file = BytesIO()
    image.save(file, kind, **settings)
    return file.getvalue()


def with_alpha(image: Image.Image) -> Image.Image:
    """``image``, fading out to the right."""
    image.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    return image


def sixteen_bit(image: Image.Image) -> Image.Image:
    """The grey of ``image``, as 16 bits."""
    return Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)


KINDS: tuple[tuple[str, Callable[[Image.Image], bytes]], ...] = (
    ("jpg", lambda image: packed(image, "JPEG", quality=90)),
    ("jpg", lambda image: packed(image, "JPEG", quality=75)),
    ("png", lambda image: packed(image, "PNG")),
    ("jpg", lambda image: packed(image.convert("L"), "JPEG", quality=90)),
    ("png", lambda image: packed(with_alpha(image), "PNG")),
    ("png", lambda image: packed(image.quantize(32), "PNG")),
    ("webp", lambda image: packed(image, "WEBP", quality=80)),
    ("png", lambda image: packed(sixteen_bit(image), "PNG")),
)


def bomb(side: int = BOMB_SIDE) -> bytes:
    """A grey PNG of ``side`` x ``side`` zeros in about a thousandth of the bytes, built without having them at once."""
    packer, row = zlib.compressobj(9), bytes(side + 1)
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return _png(side, side, 8, 0, rows)


def deep(pixels: np.ndarray) -> bytes:
    """A colour PNG of uint16 ``pixels`` [H, W, 3], which Pillow does not write."""
    H, W, _ = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return _png(W, H, 16, 2, zlib.compress(rows))


def _png(width: int, height: int, bits: int, colour: int, packed_rows: bytes) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed_rows) + chunk(b"IEND", b"")


def make_mixed(folder: Path, n: int, seed: int = 0, smallest: int = 40, largest: int = 240) -> None:
    """Write ``n`` files into ``folder``, in two class folders: ``n - 3`` images and the files of ``BAD``."""
    rng = np.random.default_rng(seed)
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for i in range(n - len(BAD)):
        label, (suffix, pack) = i % 2, KINDS[i // 2 % len(KINDS)]
        width, height = rng.integers(smallest, largest + 1, 2).tolist()
        image = picture(rng, width, height, striped=label == 1)
        (folder / CLASSES[label] / f"{i:05d}.{suffix}").write_bytes(pack(image))
    whole = packed(picture(rng, 200, 200), "JPEG", quality=90)
    truncated, large, letter = (folder / name for name in BAD)
    truncated.write_bytes(whole[: len(whole) // 2])
    large.write_bytes(bomb())
    letter.write_text("Dear Sir or Madam, this is no image.", encoding="utf-8")


def zip_of(folder: Path, archive: Path) -> Path:
    """``archive``, a zip file of all files of ``folder``."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(folder.rglob("*.*")):
            file.write(path, path.relative_to(folder).as_posix())
    return archive
