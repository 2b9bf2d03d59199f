"""Stereo pairs for super-resolution: made of images by random smooth disparities, and photographed ones.

Photographed pairs are rectified: what a pixel of the left view shows lies in the same row of the right one, farther
left. A folder of them is read as the benchmarks lay it out: a folder a scene with two files (Middlebury 2003 im2/im6,
2005 and 2006 view1/view5, 2014 im0/im1, PASSRnet's test sets hr0/hr1), or files NAME_L and NAME_R (Flickr1024).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from datamodules.base import below
from datamodules.collection import read_whole
from datamodules.functional.keys import key
from datamodules.functional.warp_views import Disparities, stereo_pair
from datamodules.image_files import source_at
from datamodules.open_image import SUFFIXES
from datamodules.pairs import Colour
from datamodules.patches import Turns
from datamodules.sources import Source
from datamodules.views import Scene, ViewsDataModule

NAMES = (("view1", "view5"), ("im2", "im6"), ("im0", "im1"), ("hr0", "hr1"))
LEFT, RIGHT = "_L", "_R"
DISPARITIES = Disparities()
_STREAM = int.from_bytes(b"stereo")
ADVICE = (
    "it should hold a folder a scene with view1 and view5, im2 and im6, im0 and im1 or hr0 and hr1, or files NAME_L and"
    " NAME_R: set ATELIER_DATA or data.init_args.root to the folder above, or data.init_args.pairs_at to another."
)


class StereoImages(ViewsDataModule):
    """Feeds ``(x, y)``: x the left view [N, C, H, W], y the left and the right view, small: [N, 2, C, h, w].

    Args:
        disparities: of the pairs that are made of ``images``.
        pairs_at: folder of photographed pairs below ``root``; None is none.
        train: names of those to train on; None is all that are not tested on.
        test: names of those to test on, as one set called like the folder.
        turns: of patches: "vertical" alone keeps rows rows, and right on the right.

    The other arguments are ViewsDataModule's.

    Raises:
        ValueError: as the base; turns that mix up rows or sides; scenes that are not there, or lack a view.
        FileNotFoundError: an absent folder.
    """

    views = 2

    def __init__(
        self,
        scale: int = 2,
        images: Sequence[str] = ("BSDS500/train",),
        held_out: int = 10,
        disparities: Disparities = DISPARITIES,
        pairs_at: str | None = "middlebury",
        train: Sequence[str] | None = None,
        test: Sequence[str] = ("Cloth3", "cone"),
        copy_reference: bool = False,
        shuffled_tests: bool = True,
        patch: int = 128,
        turns: Turns = "vertical",
        colour: Colour = "rgb",
        batch_size: int = 32,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
        test_seed: int = 0,
    ) -> None:
        super().__init__(
            scale,
            images,
            held_out,
            copy_reference,
            shuffled_tests,
            patch,
            turns,
            colour,
            batch_size,
            seed,
            device,
            root,
            test_seed,
        )
        if turns not in ("vertical", "none"):
            raise ValueError(
                f"turns are {turns!r}: rows of stereo pairs belong together, and left and right differ; set"
                " data.init_args.turns to vertical or none."
            )
        self.disparities, self.pairs_at, self.train, self.test = disparities, pairs_at, train, tuple(test)

    def make(self, name: str, image: Tensor, number: int, seed: int) -> Scene:
        """``image`` as the left view, cropped to what a right view can show, and a right view."""
        stream = torch.Generator().manual_seed(key(seed, _STREAM, number))
        H, W = image.shape[2:]
        width = W - math.ceil(self.disparities.largest)
        if width < 1:
            raise ValueError(
                f"{name} is {W} pixels wide: set data.init_args.disparities.largest below, or leave the image out."
            )
        return Scene(name, name, list(stereo_pair(image, self.disparities.draw(H, width, stream))))

    def real_training_scenes(self) -> list[Scene]:
        """The photographed pairs to train on."""
        if self.pairs_at is None:
            return []
        found = find_pairs(source := source_at([below(self.root, self.pairs_at)], ADVICE))
        chosen = [name for name in found if name not in self.test] if self.train is None else self.train
        return [read_scene(source, found, name) for name in chosen]

    def real_test_scenes(self) -> Mapping[str, list[Scene]]:
        """The photographed pairs to test on."""
        if self.pairs_at is None or not self.test:
            return {}
        found = find_pairs(source := source_at([below(self.root, self.pairs_at)], ADVICE))
        return {Path(self.pairs_at).name: [read_scene(source, found, name) for name in self.test]}


def find_pairs(source: Source) -> dict[str, tuple[int, int]]:
    """The files of each scene of ``source``, left and right, by the scene's name.

    Raises:
        ValueError: a view without its partner, or no pairs at all.
    """
    number = {entry.name.rsplit(".", 1)[0]: i for i, entry in enumerate(source.entries) if is_image(entry.name)}
    found = {}
    for name in sorted(number):
        for scene, left, right in partners(name):
            if left not in number or right not in number:
                here, absent = (left, right) if left in number else (right, left)
                raise ValueError(
                    f"{source.path / here} is there and {absent} is not: a stereo pair needs both, restore it."
                )
            found[scene] = number[left], number[right]
    if not found:
        raise ValueError(f"{source.path} holds no stereo pairs: {ADVICE}")
    return found


def partners(name: str) -> list[tuple[str, str, str]]:
    """(scene, left, right), where ``name`` is called like one of two views; else nothing."""
    path = PurePosixPath(name)
    for end in (LEFT, RIGHT):
        if name.endswith(end):
            stem = name.removesuffix(end)
            return [(stem, stem + LEFT, stem + RIGHT)]
    folder = path.parent
    return [
        (str(folder), str(folder / left), str(folder / right))
        for left, right in NAMES
        if path.name in (left, right) and folder != PurePosixPath(".")
    ]


def is_image(name: str) -> bool:
    """Whether a file is called like an image."""
    return name.lower().endswith(SUFFIXES)


def read_scene(source: Source, found: Mapping[str, tuple[int, int]], name: str) -> Scene:
    """The scene ``name`` of ``source``.

    Raises:
        ValueError: it is not among ``found``.
    """
    if name not in found:
        raise ValueError(
            f"{source.path} has no scene {name!r}: set data.init_args.train and test to some of {', '.join(found)}."
        )
    return Scene(name, name, [read_whole(source, i) for i in found[name]])
