"""``atelier matte``: the alpha of pictures by their trimaps, what is cut out, and that before another background.

Three PNGs a picture: ``-alpha`` (grey), ``-foreground`` (its colours, without the old background's, and alpha), and
``-composite`` where a background is given. A file that gives no picture is named, skipped and counted.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image, ImageColor, ImageOps
from torch import Tensor

from datamodules.functional.matting import FOREGROUND, composed, foreground, levelled
from datamodules.functional.quantise import UNIT, from_uint8, to_uint8
from datamodules.open_image import BadImageError
from experiments.companions import Companions
from experiments.errors import UserError
from experiments.lightning_cli import hush_lightning, users_mistakes
from experiments.look import bare_module, find_subject, without_checkpoint
from experiments.picture_round import work
from experiments.request import Request, out_folder, read_request
from experiments.restore import take_place
from experiments.restore_pictures import (
    Picture,
    eight_bit,
    find_pictures,
    image_of,
    read_image,
    reserved,
    save,
    taken_by,
    tensor_of,
)
from experiments.train import say
from experiments.weights import load_weights
from lightning_modules.matting import MakesMattes
from lightning_modules.tools.classic_matting import ClassicMatting

OWN = ("--trimap", "--background", "--out", "--ckpt")
TRIMAPS = Companions("trimap", "give an image that is 0 for background, 255 for foreground and 128 between")


def matte(argv: Sequence[str]) -> int:
    """Find the alpha that is asked for, and say where it is and what it took.

    Raises:
        UserError: the command cannot be run, or not one picture could be matted.
        RunError: the disk or the memory is full.
    """
    hush_lightning()
    request = read_request(argv, OWN)
    place = take_place(request, "matte")
    if "--trimap" not in request.own:
        raise UserError(f"matte needs a trimap: `atelier matte RUN_DIR {place} --trimap TRIMAP_OR_FOLDER`")
    out = out_folder(request.own.get("--out", "matted"))
    with users_mistakes():
        found = replace(find_pictures(place, out), deep=False)
    pictures = TRIMAPS.beside(found, request.own["--trimap"], out, with_trimap)
    ground = background(request.own["--background"]) if "--background" in request.own else None
    module = find_module(request)
    work(pictures, partial(write, module, ground), out, module.device, "matted")
    return 0


def with_trimap(picture: Picture, trimap: Picture) -> Picture:
    """``picture`` in colour, with what its trimap says in the place of an alpha.

    Raises:
        ValueError: they do not go together, and why; BadImageError: the picture has an alpha.
    """
    pixels = picture.pixels.expand(-1, 3, -1, -1)
    if picture.alpha is not None and bool((picture.alpha < FOREGROUND).any()):
        raise BadImageError("the picture is transparent in parts, its alpha is known already")
    return replace(picture, pixels=pixels, alpha=levelled(eight_bit(trimap.pixels), *pixels.shape[2:]))


def find_module(request: Request) -> MakesMattes:
    """The family that ``request`` names, with its evaluated weights, on the best device there is.

    Raises:
        UserError: there is none, or it finds no alpha.
    """
    cli = without_checkpoint(request, "matte")
    if cli is not None:
        module, title = matting(cli.model), cli.config.experiment
    else:
        subject = find_subject(request, "matte")
        module, title = matting(bare_module(subject.cli)), f"{subject.cli.config.experiment} ({subject.which})"
        load_weights(module, subject.checkpoint)
    with users_mistakes():
        _ = module.net.library if isinstance(module.net, ClassicMatting) else None  # told once, not picture by picture
    say(f"{title}: {type(module.net).__name__}, {module.weights_name} weights")
    return module.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def matting(model: object) -> MakesMattes:
    """``model`` itself.

    Raises:
        UserError: it finds no alpha.
    """
    if not isinstance(model, MakesMattes):
        raise UserError(f"{type(model).__name__} finds no alpha: give a run of a family such as DeepMatting")
    return model


def background(given: str) -> Image.Image:
    """The new background: an image file, or a colour in a word or as #rrggbb, as an image of one pixel.

    Raises:
        UserError: it is neither.
    """
    if Path(given).is_file():
        return image_of(eight_bit(read_image(given, "background").pixels)).convert("RGB")
    try:
        return Image.new("RGB", (1, 1), ImageColor.getrgb(given)[:3])
    except ValueError as error:
        raise UserError(f"--background {given} is no image file, nor a colour such as white or #00b140") from error


def write(module: MakesMattes, ground: Image.Image | None, picture: Picture, path: Path, shown: str | None) -> Picture:
    """Write what is found of ``picture`` beside ``path``, and give it back cut out.

    Raises:
        FileExistsError: one of the files exists.
    """
    paths = [path.with_stem(f"{path.stem}-{what}") for what in ("alpha", "foreground", "composite")]
    with reserved(*paths[: 2 if ground is None else 3]):
        assert picture.alpha is not None
        y = from_uint8(torch.cat([picture.pixels, picture.alpha], 1), UNIT)
        with taken_by(type(module.net).__name__, picture):
            alpha = module.matte(y.to(module.device)).cpu()
        front = foreground(y[:, :3], alpha)
        cut = replace(picture, pixels=to_uint8(front, UNIT), alpha=to_uint8(alpha, UNIT))
        save(Picture(to_uint8(alpha, UNIT)), paths[0])
        save(cut, paths[1])
        if ground is not None:
            save(Picture(before(front, alpha, ground), profile=picture.profile), paths[2])
    return cut


def before(front: Tensor, alpha: Tensor, ground: Image.Image) -> Tensor:
    """``front`` [1, 3, H, W] with ``alpha`` before the middle of ``ground``, enlarged to cover it: uint8."""
    H, W = front.shape[2:]
    behind = from_uint8(tensor_of(ImageOps.fit(ground, (W, H), Image.Resampling.BICUBIC)), UNIT)
    return to_uint8(composed(front, alpha, behind), UNIT)
