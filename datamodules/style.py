"""Pictures and the styles they are to take: one picture to optimise, or patches of many to learn from."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import lightning as L
import torch
from torch import Tensor

from datamodules.base import below, data_root
from datamodules.functional.quantise import UNIT, ValueRange, from_uint8, to_uint8
from datamodules.functional.resize import bicubic_to
from datamodules.pairs import PairDataModule, PairLoader, PairSet, in_colour
from datamodules.patches import Pair, Patches, Turns
from datamodules.single_image import Again, read_file

SIDE = 256  # px
Colours = Literal["style", "content"]


class Styled(NamedTuple):
    """What a picture is made of. Values in [0, 1]."""

    x: Tensor  # [1, 3, H, W], whose content it keeps
    y: Tensor  # [1, K, 3, h, w]: the styles
    guide: Tensor  # [1, 1, H, W]: 1 where they are to be


class StyledPicture(L.LightningDataModule):
    """Feeds one ``Styled`` without end: a content, one style or several, and where they are to be.

    Args:
        styles: files of images below ``root``; of each the middle square.
        content: file of an image below ``root``; None where there is no content, as in texture synthesis: x is then the
            first style.
        side: to which the shorter side of the content is shrunk; None takes it as it is.
        style_side: to which the styles' squares are shrunk.
        colours: whose the result is to have: "content" moves each style's colours to the content's mean and covariance
            before anything else (Gatys et al. 2016b, "Preserving color in neural artistic style transfer", sec. 4.1).
        mask: file of a grey image as large as the content's file, white where the styles are to be; None is everywhere.
        batch_size: how often all that stands in a training batch, as 2 for two draws of a method's own noise.
        root: the folder that holds all data sets; None is the environment's ATELIER_DATA, else data/.

    Raises:
        ValueError: no styles; when read: a file that gives no image or has alpha, one that is too small, or a mask of
            another size. FileNotFoundError: an absent file.
    """

    value_range: ValueRange = UNIT
    images_per_epoch = 1

    def __init__(
        self,
        styles: Sequence[str],
        content: str | None = None,
        side: int | None = SIDE,
        style_side: int = SIDE,
        colours: Colours = "style",
        mask: str | None = None,
        batch_size: int = 1,
        root: str | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: set data.init_args.batch_size to 1 or more.")
        if not styles:
            raise ValueError("there is no style: set data.init_args.styles to one image file or more.")
        if content is None and (mask is not None or colours == "content"):
            raise ValueError(
                "without a content there is nothing to mask or to take colours of: set data.init_args.content."
            )
        self.styles, self.content, self.mask = tuple(styles), content, mask
        self.side, self.style_side, self.colours, self.batch_size = side, style_side, colours, batch_size
        self.root = data_root(root)

    @cached_property
    def batch(self) -> Styled:
        """The one batch."""
        y = [
            square(in_colour(read_file(below(self.root, style)), "rgb"), self.style_side, style)
            for style in self.styles
        ]
        if self.content is None:
            return Styled(
                from_uint8(y[0], UNIT), from_uint8(torch.stack(y, 1), UNIT), torch.ones(1, 1, *y[0].shape[2:])
            )
        image = in_colour(read_file(below(self.root, self.content)), "rgb")
        x = shrunk_to(image, self.side, self.content)
        if self.colours == "content":
            y = [recoloured(style, x) for style in y]
        return Styled(from_uint8(x, UNIT), from_uint8(torch.stack(y, 1), UNIT), self.guide(image, x))

    def guide(self, image: Tensor, x: Tensor) -> Tensor:
        """Where the styles are to be: [1, 1, H, W] in [0, 1]."""
        if self.mask is None:
            return torch.ones(1, 1, *x.shape[2:])
        mask = read_file(below(self.root, self.mask))[:, :1]
        if mask.shape[2:] != image.shape[2:]:
            raise ValueError(
                f"the mask {self.mask} is {mask.shape[3]} x {mask.shape[2]} px, the content {self.content} "
                f"{image.shape[3]} x {image.shape[2]}: make them equal."
            )
        _, _, H, W = x.shape
        return from_uint8(mask if tuple(mask.shape[2:]) == (H, W) else bicubic_to(mask, (H, W)), UNIT)

    @property
    def out_shape(self) -> tuple[int, ...]:
        """(3, H, W) of x."""
        return tuple(self.batch.x.shape[1:])

    @property
    def findings(self) -> dict[str, Any]:
        """What is made of what, for the run's record."""
        return {"content": self.content, "styles": list(self.styles), "shape": list(self.out_shape)}

    def held_out(self) -> Iterator[Styled]:
        """The batch, to be scored on: nothing is held out of one picture."""
        yield self.batch

    def setup(self, stage: str) -> None:
        """Read all files, so that whatever is wrong with one is said before anything begins."""
        _ = self.batch

    def train_dataloader(self) -> Again:
        """The batch without end."""
        return Again(Styled(*(part.repeat_interleave(self.batch_size, 0) for part in self.batch)))

    def val_dataloader(self) -> PairLoader:
        """The batch once."""
        return PairLoader(PairSet("picture", 1, [self.batch]))

    test_dataloader = predict_dataloader = val_dataloader


class StyledImages(PairDataModule):
    """Feeds (x, y) in [0, 1]: patches x [N, 3, s, s] of contents, and as many y of styles, drawn by themselves.

    Validation and test have each of ``test`` in each of ``test_styles``.

    Args:
        train: folders of images below ``root`` whose content is trained on.
        styles: files of images below ``root`` whose styles are trained on.
        test: files of contents below ``root``.
        test_styles: files of styles; None is ``styles``.
        side: in px, to which the middle squares of test contents and of whole styles are shrunk.
        shrink: to which the shorter side of training images is shrunk before patches are cut; None leaves them.

    The other arguments are PairDataModule's.

    Raises:
        ValueError: no styles; when read: files that give no image, have alpha or are smaller than a patch.
        FileNotFoundError: absent files or folders.
    """

    def __init__(
        self,
        styles: Sequence[str],
        train: Sequence[str] = ("BSDS500/train",),
        test: Sequence[str] = (),
        test_styles: Sequence[str] | None = None,
        side: int = SIDE,
        shrink: int | None = None,
        patch: int = 128,
        turns: Turns = "mirror",
        batch_size: int = 8,
        seed: int = 0,
        device: str = "cpu",
        root: str | None = None,
    ) -> None:
        super().__init__(patch, None, turns, "rgb", batch_size, seed, device, root)
        if not styles:
            raise ValueError("there is no style: set data.init_args.styles to one image file or more.")
        self.styles, self.test_styles = tuple(styles), tuple(styles if test_styles is None else test_styles)
        self.train, self.test, self.side, self.shrink = tuple(train), tuple(test), side, shrink

    def sized(self, file: str, pixels: Tensor) -> Tensor:
        """A training image in colour, shrunk where that is asked."""
        return shrunk_to(in_colour(pixels, "rgb"), self.shrink, file)

    def training_pairs(self) -> dict[int, list[Pair]]:
        """The contents, whose styles are drawn for each patch."""
        images = self.images(self.train, "train")
        return {1: [pair._replace(x=self.sized(pair.name, pair.x)) for pair in images]} if images else {}

    @cached_property
    def style_patches(self) -> Patches:
        """What training styles are cut from."""
        files = [Pair(file, self.sized(file, read_file(below(self.root, file))), None) for file in self.styles]
        return Patches("styles", files, 1, self.patch, None, self.turns).to(self.device)

    def setup(self, stage: str) -> None:
        """As in the base; the training styles too."""
        super().setup(stage)
        if stage == "fit":
            _ = self.style_patches

    def damaged(self, x: Tensor) -> Tensor:
        """As many patches of styles as there are contents ``x`` [N, 3, s, s]."""
        drawn, _ = self.style_patches.cut(torch.randint(len(self.style_patches), (len(x),)), x.device)
        return from_uint8(drawn, UNIT)

    @cached_property
    def whole_styles(self) -> Tensor:
        """The middle square of each training style, in [0, 1]: [K, 3, side, side]."""
        return from_uint8(torch.cat([self.whole_square(file) for file in self.styles]), UNIT)

    def whole_square(self, file: str) -> Tensor:
        """The middle square of a content or a style: uint8 [1, 3, side, side]."""
        return square(in_colour(read_file(below(self.root, file)), "rgb"), self.side, file)

    @cached_property
    def test_sets(self) -> list[PairSet]:
        """Each content in each style, a set a style."""
        contents = [self.whole_square(file) for file in self.test]
        sets = []
        for file in self.test_styles if contents else ():
            style = self.whole_square(file)
            sets.append(PairSet(Path(file).stem, 1, [(content, style) for content in contents]))
        return sets

    def pairs(self) -> list[PairSet]:
        """Each content in each style, a set a style."""
        return self.test_sets

    def held_out(self) -> Iterator[Styled]:
        """The same, as floats."""
        for data in self.pairs():
            yield from map(self.whole, data.pairs)

    def whole(self, batch: tuple[Tensor, ...]) -> Styled:
        """A pair as floats, the style everywhere."""
        x, y = super().whole(batch)
        return Styled(x, y[:, None], torch.ones_like(x[:, :1]))


def shrunk_to(image: Tensor, side: int | None, name: str) -> Tensor:
    """``image`` [1, C, H, W] with its shorter side shrunk to ``side`` by MATLAB's bicubic; None leaves it.

    Raises:
        ValueError: it is smaller.
    """
    H, W = image.shape[2:]
    if side is None or min(H, W) == side:
        return image.contiguous()
    if min(H, W) < side:
        raise ValueError(f"{name} is {W} x {H} px, smaller than {side}: give a larger image, or a smaller side.")
    factor = side / min(H, W)
    return bicubic_to(image.contiguous(), (max(side, round(H * factor)), max(side, round(W * factor))))


def square(image: Tensor, side: int, name: str) -> Tensor:
    """The middle square of ``image`` [1, C, H, W], shrunk to ``side`` px.

    Raises:
        ValueError: it is smaller.
    """
    S = min(image.shape[2:])
    top, left = ((length - S) // 2 for length in image.shape[2:])
    return shrunk_to(image[:, :, top : top + S, left : left + S], side, name)


def recoloured(style: Tensor, content: Tensor) -> Tensor:
    """uint8 ``style`` [1, 3, h, w] with the mean and the covariance of the colours of uint8 ``content`` [1, 3, H, W].

    Of all linear maps that do it the symmetric one, S_content^(1/2) S_style^(-1/2), clamped and rounded afterwards.
    """
    a, b = (from_uint8(image, UNIT).double().flatten(2)[0] for image in (style, content))
    mean = a.mean(1, keepdim=True)
    moved = root_of(b.cov()) @ root_of(a.cov(), inverse=True) @ (a - mean) + b.mean(1, keepdim=True)
    return to_uint8(moved.view(1, 3, *style.shape[2:]), UNIT)


def root_of(covariance: Tensor, inverse: bool = False) -> Tensor:
    """The symmetric root of ``covariance`` [3, 3], or that of its inverse; a direction without colours has neither."""
    values, vectors = torch.linalg.eigh(covariance)
    roots = values.clamp_min(0).sqrt()
    roots = torch.where(roots > 1e-6, 1 / roots.clamp_min(1e-6), 0) if inverse else roots
    return vectors @ torch.diag(roots) @ vectors.T
