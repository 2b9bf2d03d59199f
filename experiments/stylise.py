"""``atelier stylise``: pictures in the style of others, by a run of AdaIN: one or several, in part, here and there.

One PNG a picture; alpha is kept. A file that gives no picture is named, skipped and counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from datamodules.functional.borders import mirrored
from datamodules.functional.quantise import UNIT, from_uint8, to_uint8
from datamodules.pairs import in_colour
from datamodules.style import recoloured
from experiments.companions import Companions
from experiments.errors import UserError
from experiments.lightning_cli import hush_lightning, users_mistakes
from experiments.look import bare_module, find_subject
from experiments.picture_round import work
from experiments.request import Request, out_folder, read_request, real
from experiments.restore import take_place
from experiments.restore_pictures import Picture, eight_bit, find_pictures, read_image, reserved, save, taken_by
from experiments.train import say
from experiments.weights import load_weights
from lightning_modules.style_transfer import AdaptiveStyle

OWN = ("--style", "--weights", "--strength", "--mask", "--out", "--ckpt")
FLAGS = ("--keep_colours",)
MASKS = Companions("mask", "give a grey image that is white where the style is to be")


@dataclass(frozen=True)
class Wanted:
    """What pictures are to look like.

    Args:
        styles: uint8 [1, 3, h, w] each.
        weights: of them, summing to 1.
        strength: 0 is the content as it is decoded, 1 the style.
        keep_colours: give the styles the content's colours first.
    """

    styles: Sequence[Tensor]
    weights: Sequence[float]
    strength: float
    keep_colours: bool


def stylise(argv: Sequence[str]) -> int:
    """Stylise what is asked for, and say where it is and what it took.

    Raises:
        UserError: the command cannot be run, or not one picture could be stylised.
        RunError: the disk or the memory is full.
    """
    hush_lightning()
    request = read_request(argv, OWN, FLAGS)
    place = take_place(request, "stylise")
    wanted = read_wanted(request, place)
    out = out_folder(request.own.get("--out", "stylised"))
    with users_mistakes():
        pictures = replace(find_pictures(place, out), deep=False)
    if "--mask" in request.own:
        pictures = MASKS.beside(pictures, request.own["--mask"], out, guided)
    subject = find_subject(request, "stylise")
    module = bare_module(subject.cli)
    if not isinstance(module, AdaptiveStyle):
        raise UserError(
            f"{type(module).__name__} takes no style: give a run of AdaptiveStyle; FastStyle is for `atelier translate`"
        )
    load_weights(module, subject.checkpoint)
    module.eval().to("cuda" if torch.cuda.is_available() else "cpu")
    say(f"{subject.cli.config.experiment} ({subject.which}): {len(wanted.styles)} styles, strength {wanted.strength:g}")
    work(pictures, partial(write, module, wanted), out, module.device, "stylised")
    return 0


def read_wanted(request: Request, place: str) -> Wanted:
    """What the options ask for.

    Raises:
        UserError: no style, or options that cannot be followed.
    """
    if "--style" not in request.own:
        raise UserError(f"stylise needs a style: `atelier stylise RUN_DIR {place} --style IMAGE[,IMAGE...]`")
    files = request.own["--style"].split(",")
    weights = [1.0] * len(files)
    if "--weights" in request.own:
        weights = [real(text, "--weights") for text in request.own["--weights"].split(",")]
    if len(weights) != len(files) or not sum(weights):
        raise UserError(f"--weights has {len(weights)} for {len(files)} styles: give one of each, not all 0")
    strength = real(request.own.get("--strength", "1"), "--strength")
    if strength > 1:
        raise UserError(f"--strength is {strength:g}: give 0 (as it is) to 1 (the style)")
    styles = [style_of(file) for file in files]
    return Wanted(styles, [w / sum(weights) for w in weights], strength, "--keep_colours" in request.flags)


def style_of(file: str) -> Tensor:
    """The style in an image file, uint8 [1, 3, h, w].

    Raises:
        UserError: there is none, or it has alpha.
    """
    picture = read_image(file, "style")
    if picture.alpha is not None:
        raise UserError(f"{file} has alpha, and a style is everywhere: give an image without")
    return eight_bit(picture.pixels).expand(-1, 3, -1, -1)


def guided(picture: Picture, mask: Picture) -> Picture:
    """``picture`` with the style where ``mask`` is light.

    Raises:
        ValueError: it is of another size.
    """
    (h, w), (H, W) = mask.pixels.shape[2:], picture.pixels.shape[2:]
    if (h, w) != (H, W):
        raise ValueError(f"{w} x {h} px, and the image is {W} x {H}: give one of the image's size")
    return replace(picture, guide=from_uint8(in_colour(eight_bit(mask.pixels), "grey"), UNIT))


def write(module: AdaptiveStyle, wanted: Wanted, picture: Picture, path: Path, shown: str | None) -> Picture:
    """Stylise ``picture`` into the file ``path``.

    Raises:
        FileExistsError: it exists.
    """
    with reserved(path):
        content = picture.pixels.expand(-1, 3, -1, -1)
        styles = [recoloured(style, content) if wanted.keep_colours else style for style in wanted.styles]
        x = from_uint8(content, UNIT).to(module.device)
        y = [from_uint8(style, UNIT).to(module.device) for style in styles]
        multiple = module.factor
        guide = None if picture.guide is None else mirrored(picture.guide, multiple).to(module.device)
        with taken_by(type(module).__name__, picture):
            made = module.transfer(mirrored(x, multiple), y, wanted.weights, wanted.strength, guide)
        H, W = content.shape[2:]
        result = replace(picture, pixels=to_uint8(made[:, :, :H, :W].cpu(), UNIT))
        save(result, path)
    return result
