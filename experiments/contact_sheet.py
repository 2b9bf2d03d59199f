"""``atelier contact-sheet``: a picture of what an experiment's augmentation does."""

from collections.abc import Sequence

from torch import Tensor

from datamodules import contact_sheet
from datamodules.base import ImageStream
from experiments.errors import UserError
from experiments.house import HOUSE
from experiments.lightning_cli import hush_lightning, switch_off, users_mistakes
from experiments.request import new_file, number, read_request
from experiments.train import parse, say
from lightning_modules.callbacks.pictures import grid, save_png

NUMBERS = {"--images": 1, "--variants": 1, "--seed": 0}  # the least that each may be
TILE = 64  # px: smaller images are enlarged by a whole factor to about this side


def show_augmentation(argv: Sequence[str]) -> int:
    """Write a sheet, a row an image: as it is, then its variants. Only the data are built.

    Raises:
        UserError: the command cannot be run.
    """
    hush_lightning()
    request = read_request(argv, own=("--out", *NUMBERS))
    numbers = {name: number(request, name, least) for name, least in NUMBERS.items()}
    images, variants, seed = numbers["--images"] or 8, numbers["--variants"] or 8, numbers["--seed"] or 0
    out = new_file(request.own.get("--out", "contact_sheet.png"), [".png"])
    cli = parse(request, "contact-sheet")
    switch_off(cli, "model", *HOUSE)
    cli.config.trainer.logger = False
    cli.build()
    data = cli.datamodule
    if not isinstance(data, ImageStream):
        raise UserError(f"{type(data).__name__} feeds no images: give an experiment on images")
    with users_mistakes():
        data.prepare_data()
        sheet = contact_sheet.contact_sheet(data, images, variants, seed)
        save_png(grid(enlarged(sheet.flatten(0, 1)), columns=1 + variants), out)
    names = ", ".join(type(step).__name__ for step in data.augment) or "no augmentation"
    say(f"{images} images of {cli.config.experiment}, each with {variants} variants by {names}: {out}")
    return 0


def enlarged(images: Tensor) -> Tensor:
    """Small ``images`` [n, C, H, W] with every pixel repeated, so that a person can see them."""
    factor = max(1, round(TILE / images.shape[-1]))
    return images.repeat_interleave(factor, dim=-1).repeat_interleave(factor, dim=-2)
