"""Three views for super-resolution, a frame and its two neighbours: made of images by small motions, or filmed.

Films are folders of numbered frames, a folder a clip (Vid4, REDS). Vimeo-90k's septuplets
(``sequences/00001/0266/im1.png`` to ``im7.png``, with a list of the clips that belong to a split) are such folders too.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from datamodules.base import below
from datamodules.collection import read_whole
from datamodules.functional.keys import key
from datamodules.functional.warp_views import Motions, moved
from datamodules.image_files import source_at
from datamodules.pairs import Colour
from datamodules.patches import Turns
from datamodules.sources import Source
from datamodules.stereo import is_image
from datamodules.views import Scene, ViewsDataModule

VIEWS = 3
MOTIONS = Motions()
_STREAM = int.from_bytes(b"frames")
ADVICE = (
    "it should hold a folder of numbered frames a clip: set ATELIER_DATA or data.init_args.root to the folder above, or"
    " data.init_args.clips_at to another."
)


class ThreeViews(ViewsDataModule):
    """Feeds ``(x, y)``: x a frame [N, C, H, W], y that frame, the previous and the next, small: [N, 3, C, h, w].

    Args:
        motions: of the frames that are made of ``images``.
        clips_at: folder of clips below ``root``; None is none.
        train: names of the clips to train on, of each every frame with two neighbours; or a text file below
            ``clips_at`` that lists them, a line each, as Vimeo-90k's ``sep_trainlist.txt`` does.
        test: names of the clips to test on, each a set; or such a file, which is one set of the clips' middle frames.

    The other arguments are ViewsDataModule's.

    Raises:
        ValueError: as the base; clips that are not there, or have fewer than three frames.
        FileNotFoundError: an absent folder or list.
    """

    views = VIEWS

    def __init__(
        self,
        scale: int = 2,
        images: Sequence[str] = ("BSDS500/train",),
        held_out: int = 10,
        motions: Motions = MOTIONS,
        clips_at: str | None = "vid4",
        train: Sequence[str] | str = (),
        test: Sequence[str] | str = ("walk",),
        copy_reference: bool = False,
        shuffled_tests: bool = True,
        patch: int = 96,
        turns: Turns = "all",
        colour: Colour = "luma",
        batch_size: int = 8,
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
        self.motions, self.clips_at, self.train, self.test = motions, clips_at, train, test

    def make(self, name: str, image: Tensor, number: int, seed: int) -> Scene:
        """``image`` as the centre, and two frames of a camera that moved, cropped to what all of them show."""
        stream = torch.Generator().manual_seed(key(seed, _STREAM, number))
        margin = self.motions.margin(*image.shape[2:])
        if 2 * margin >= min(image.shape[2:]):
            raise ValueError(f"{name} is too small for its motions: set data.init_args.motions to smaller ones.")
        frames = [image, *(moved(image, self.motions.draw(stream)) for _ in range(self.views - 1))]
        return Scene(name, name, [frame[:, :, margin:-margin, margin:-margin].contiguous() for frame in frames])

    def real_training_scenes(self) -> list[Scene]:
        """Frames of the clips to train on."""
        if self.clips_at is None or not self.train:
            return []
        source = source_at([below(self.root, self.clips_at)], ADVICE)
        return [scene for name in names(source, self.train) for scene in clip(source, name)]

    def real_test_scenes(self) -> Mapping[str, list[Scene]]:
        """Frames of the clips to test on."""
        if self.clips_at is None or not self.test:
            return {}
        source = source_at([below(self.root, self.clips_at)], ADVICE)
        if isinstance(self.test, str):
            return {Path(self.test).stem: [clip(source, name, middle=True)[0] for name in names(source, self.test)]}
        return {PurePosixPath(name).name: clip(source, name) for name in self.test}


def names(source: Source, clips: Sequence[str] | str) -> list[str]:
    """The clips that are named, or listed in a file of ``source``.

    Raises:
        FileNotFoundError: no such list.
    """
    if not isinstance(clips, str):
        return list(clips)
    listed = [i for i, entry in enumerate(source.entries) if entry.name == clips]
    if not listed:
        raise FileNotFoundError(f"{source.path / clips}: absent; give a list of clips, a line each, or their names.")
    lines = source.read(listed[0], 2**24).decode().split()
    prefix = "sequences/" if any(entry.name.startswith("sequences/") for entry in source.entries) else ""
    return [prefix + line for line in lines]


def by_number(name: str) -> list[tuple[int, str]]:
    """What to sort names by, so that frame 10 comes after frame 9, padded with zeros or not."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", name)]


def clip(source: Source, name: str, middle: bool = False) -> list[Scene]:
    """Every frame of the clip ``name`` with two neighbours, or the ``middle`` one alone, with them.

    Raises:
        ValueError: it has fewer than three frames.
    """
    frames = [
        (entry.name, i)
        for i, entry in enumerate(source.entries)
        if is_image(entry.name) and PurePosixPath(entry.name).parent == PurePosixPath(name)
    ]
    frames.sort(key=lambda frame: by_number(frame[0]))
    if len(frames) < VIEWS:
        raise ValueError(
            f"{source.path / name} has {len(frames)} frames: a frame needs one before it and one after; restore them,"
            " or name another clip."
        )
    centres = [len(frames) // 2] if middle else range(1, len(frames) - 1)
    read = {i: read_whole(source, frames[i][1]) for centre in centres for i in (centre - 1, centre, centre + 1)}
    return [Scene(frames[i][0], name, [read[i], read[i - 1], read[i + 1]]) for i in centres]
