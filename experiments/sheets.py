"""What ``atelier edit`` and ``atelier explain`` share: options as values, and a sheet of pictures with its numbers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, cat

from datamodules.functional.files import replacing
from datamodules.pairs import in_colour
from experiments.errors import UserError
from experiments.request import Request, new_file, new_path, number, real
from experiments.restore_pictures import eight_bit, read_image
from experiments.sample import write_webp
from experiments.train import say, show
from lightning_modules.callbacks.pictures import grid, save_png, to_pil
from lightning_modules.metrics.base import Images


class Made(NamedTuple):
    """What a tool made."""

    sheet: Tensor  # uint8 [rows, columns, C, H, W], or one picture [C, H, W]
    numbers: Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """What was asked for.

    Args:
        request: the command line.
    """

    request: Request

    def whole(self, name: str, otherwise: int, least: int = 1) -> int:
        """The whole number of an option."""
        found = number(self.request, name, least)
        return otherwise if found is None else found

    def real(self, name: str, otherwise: float) -> float:
        """The number of an option, 0 or more."""
        return real(self.request.own.get(name, str(otherwise)), name)

    def pictures(self, channels: int) -> Tensor:
        """Those of --image, uint8 [N, channels, H, W].

        Raises:
            UserError: none are named, or they differ in size.
        """
        if "--image" not in self.request.own:
            raise UserError("this needs pictures: --image FILE[,FILE...]")
        found = [eight_bit(read_image(file).pixels) for file in self.request.own["--image"].split(",")]
        if len({tuple(pixels.shape[2:]) for pixels in found}) > 1:
            raise UserError("--image: the pictures differ in size: give some of one")
        return cat([in_colour(pixels, "grey" if channels == 1 else "rgb") for pixels in found])


def evenly(held: Images, n: int) -> Tensor:
    """``n`` of the images ``held`` at equal distances, since files may lie class by class; all of fewer."""
    n = min(n, len(held))
    return cat([held[i : i + 1].cpu() for i in (len(held) * k // n for k in range(n))])


def sheet_path(request: Request, place: Path, kinds: Sequence[str]) -> Path:
    """Where --out, or ``place``, lets the sheet be written, one of ``kinds``; its JSON beside it is new, too.

    Raises:
        UserError: neither can be.
    """
    out = new_file(request.own.get("--out", place), kinds)
    new_path(out.with_suffix(".json"))
    return out


def keep(made: Made, out: Path, about: str, facts: Mapping[str, Any], remark: str) -> None:
    """Write the sheet to ``out`` with ``facts`` and its numbers as JSON beside it; say what was made, and ``remark``.

    A WebP shows its columns one after the other, there and back.
    """
    if out.suffix == ".webp":
        columns = [to_pil(grid(column)) for column in made.sheet.unbind(1)]
        write_webp([*columns, *columns[-2:0:-1]], out)
    else:
        save_png(grid(made.sheet.flatten(0, 1), made.sheet.shape[1]) if made.sheet.ndim == 5 else made.sheet, out)
    with replacing(out.with_suffix(".json")) as file:
        file.write(f"{json.dumps({**facts, **made.numbers}, indent=2)}\n".encode())
    say(", ".join([about, *(f"{key} {value}" for key, value in made.numbers.items())]))
    if remark:
        say(remark)
    say(show(out.resolve()))
