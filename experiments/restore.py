"""``atelier restore`` and ``translate``: a network applied to pictures, in tiles or whole, with the evaluated weights.

One PNG a picture; alpha and 16 bits of grey are kept. A file that gives no picture is named, skipped and counted.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from datamodules.inspection import Progress
from experiments.errors import UserError
from experiments.lightning_cli import hush_lightning, users_mistakes
from experiments.picture_round import counting, work
from experiments.request import Request, number, out_folder, read_request
from experiments.restore_masks import AnyRestorer, applied, given, in_one_piece, with_masks
from experiments.restore_networks import find_network, find_scale
from experiments.restore_pictures import Picture, eight_bit, find_pictures, reserved, save, side_by_side
from experiments.train import say
from lightning_modules.tools.filling import HoleFiller
from lightning_modules.tools.restoration import Restorer, enlarged
from lightning_modules.tools.tiles import STEPS, Tiling

OWN = ("--out", "--mask", "--scale", "--tile", "--overlap", "--ckpt", "--checkpoint")
FLAGS = ("--ensemble", "--strip")
TILE = 256  # px
STRIP = "-strip"


def restore(argv: Sequence[str]) -> int:
    """Restore what is asked for, and say where it is and what it took.

    Raises:
        UserError: the command cannot be run, or not one picture could be restored.
        RunError: the disk or the memory is full.
    """
    hush_lightning()
    request = read_request(argv, OWN, FLAGS)
    if "--checkpoint" in request.own:  # so called in full; elsewhere that is a key of the configuration
        request.own["--ckpt"] = request.own.pop("--checkpoint")
    place = take_place(request, "restore")
    numbers = {name: number(request, name, least) for name, least in (("--scale", 1), ("--tile", 0), ("--overlap", 0))}
    out = out_folder(request.own.get("--out", "restored"))
    with users_mistakes():
        pictures = find_pictures(place, out)
    if "--mask" in request.own:
        pictures = with_masks(pictures, request.own["--mask"], out)
    found = find_network(request)
    scale = find_scale(found.network, numbers["--scale"])
    ensemble = "--ensemble" in request.flags
    restorer: AnyRestorer
    if found.filling is not None:
        restorer = HoleFiller(found.filling, found.hole_colour, ensemble)
        tiling = in_one_piece(numbers["--tile"], numbers["--overlap"])
    else:
        with users_mistakes():
            restorer = Restorer(found.network, found.reads, scale, ensemble, found.value_range)
        tiling = cut(restorer, numbers["--tile"], numbers["--overlap"])
    say(f"{found.title}: {in_words(restorer, tiling, ensemble)}")
    work(pictures, partial(write, restorer, tiling, "--strip" in request.flags), out, restorer.device)
    return 0


def translate(argv: Sequence[str]) -> int:
    """Translate what is asked for, each picture in one piece, and say where it is and what it took.

    Raises:
        UserError: the command cannot be run, or not one picture could be translated.
        RunError: the disk or the memory is full.
    """
    hush_lightning()
    request = read_request(argv, ("--out", "--size", "--to", "--seed", "--ckpt"), ("--strip",))
    place = take_place(request, "translate")
    size, seed = number(request, "--size", 1), number(request, "--seed", 0)
    out = out_folder(request.own.get("--out", "translated"))
    with users_mistakes():
        pictures = replace(find_pictures(place, out), size=size)
    found = find_network(request, "translate")
    if find_scale(found.network, None) > 1:
        raise UserError(f"{type(found.network).__name__} enlarges pictures: `atelier restore` applies it")
    with users_mistakes():
        restorer = Restorer(found.network, found.reads, value_range=found.value_range)

    def one(picture: Picture, path: Path, shown: str | None) -> Picture:
        torch.manual_seed(seed or 0)  # a picture's noise does not hang on what was translated before it
        return write(restorer, Tiling(None, 0), "--strip" in request.flags, picture, path, shown)

    say(f"{found.title}: {'pictures as they are' if size is None else f'pictures of {size} x {size} px'}")
    work(pictures, one, out, restorer.device, "translated")
    return 0


def take_place(request: Request, command: str) -> str:
    """The word of ``request`` that names the pictures, taken out of what is left for the configuration.

    Raises:
        UserError: there is none, or a second one.
    """
    words, places, settings = [*request.overrides], [], []
    while words:
        if words[0].startswith("-"):
            settings += [words.pop(0) for _ in range(min(2, len(words)))]
        else:
            places.append(words.pop(0))
    if request.target is None or not places:
        raise UserError(f"{command} needs a network and pictures: `atelier {command} RUN_DIR IMAGE_OR_FOLDER`")
    if len(places) > 1:
        raise UserError(f"{places[1]} is one place too many: give one image, or the folder that holds all")
    request.overrides = settings
    return places[0]


def cut(restorer: Restorer, tile: int | None, overlap: int | None) -> Tiling:
    """How pictures are cut: by what was given, and by how far the network sees.

    Raises:
        UserError: it sees further than tiles are worth.
    """
    if tile == 0:
        return Tiling(None, 0)
    if overlap is not None:
        return Tiling(tile or TILE, overlap, STEPS[-1])
    seen = restorer.locality()
    if seen is None:
        name = type(restorer.network).__name__
        raise UserError(
            f"{name} sees too far for its receptive field to be measured: give --tile 0 to restore in one piece, or"
            " --overlap N for tiles, which may leave seams"
        )
    return Tiling(tile or TILE, seen.radius, seen.step)


def in_words(restorer: AnyRestorer, tiling: Tiling, ensemble: bool) -> str:
    """What is going to be done."""
    parts = ["fills holes"] if isinstance(restorer, HoleFiller) else [f"x{restorer.scale}", f"reads {restorer.reads}"]
    parts += ["eight turns"] if ensemble else []
    parts += (
        ["in one piece"] if tiling.tile is None else [f"tiles of {tiling.tile} px, {tiling.overlap} px around each"]
    )
    return ", ".join(parts)


def write(
    restorer: AnyRestorer, tiling: Tiling, strip: bool, picture: Picture, path: Path, shown: str | None
) -> Picture:
    """Restore ``picture`` into the file ``path``, and a strip beside it.

    Args:
        restorer: what restores it.
        tiling: how it is cut.
        strip: whether before and after are written, too.
        picture: as it was read.
        path: of the PNG.
        shown: by which name tiles are counted; None where pictures are.

    Raises:
        FileExistsError: one of the files exists.
        BadImageError: the network takes no such picture, and why.
    """
    beside = path.with_stem(path.stem + STRIP)
    with reserved(path, *([beside] if strip else [])):
        progress = Progress(shown or "", tiling.count(*picture.pixels.shape[2:]), "tiles restored")
        pixels = applied(picture, restorer, tiling, counting(progress) if shown else lambda: None)
        progress.end()
        alpha = picture.alpha if picture.alpha is None else enlarged(picture.alpha, restorer.scale, tiling)
        result = replace(picture, pixels=pixels, alpha=alpha)
        save(result, path)
        if strip:
            before = enlarged(given(picture), restorer.scale, tiling)
            save(Picture(side_by_side(before, eight_bit(pixels)), profile=picture.profile), beside)
    return result
