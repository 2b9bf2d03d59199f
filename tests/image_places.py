"""Images where ``atelier evaluate`` may find them: folders, archives, arrays."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image


def noise(n: int = 24, shape: tuple[int, ...] = (8, 8), seed: int = 0) -> np.ndarray:
    """uint8 [n, *shape]."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def folder(name: str, images: np.ndarray) -> Path:
    """``images`` as PNGs in a folder, in this order."""
    place = Path(name)
    place.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).save(place / f"{i:04d}.png")
    return place


def archive(name: str, place: Path, below: str = "") -> Path:
    """The files of ``place`` in a zip archive, in its folder ``below``."""
    with zipfile.ZipFile(name, "w") as file:
        for path in sorted(place.iterdir()):
            file.write(path, below + path.name)
    return Path(name)


def everywhere(images: np.ndarray) -> list[str]:
    """The same images in every kind of place."""
    place = folder("pictures", images)
    archive("packed.zip", place)
    archive("deep.zip", place, "train/inner/")
    with zipfile.ZipFile("deep.zip", "a") as file:  # others, which are not meant
        file.write(place / "0000.png", "test/other.png")
    np.save("array.npy", images)
    np.savez("array.npz", images)
    x = torch.from_numpy(images)
    x = x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)
    torch.save(x, "array.pt")
    np.save("floats.npy", x.numpy().astype(np.float64) / 255)
    return [
        *("pictures", "packed.zip", "deep.zip/train", "deep.zip/train/inner"),
        *("array.npy", "array.npz", "array.pt", "floats.npy"),
    ]
