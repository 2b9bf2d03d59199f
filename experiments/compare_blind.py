"""``atelier compare A B --blind``: which of two is better, by a person who is not told which is which.

A page shows pairs in an order and on sides drawn from a seed; a key votes. Its votes are a JSON file, of which
``atelier compare --votes FILE ...`` prints the win rate with an interval.
"""

import base64
import hashlib
import io
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.compare_runs import find_contenders
from experiments.errors import UserError
from experiments.page import page

GREY = 128  # between the pictures of a grid
SAMPLES = "samples"  # the panel whose pictures stand for themselves; of others a row belongs together
PANELS = (SAMPLES, "restored")  # that are compared before others
PICTURES = (".png", ".jpg", ".jpeg", ".webp")
Z = 1.959964  # of the normal distribution, for an interval of 95 %

Named = dict[str, Image.Image]


def blind_page(targets: Sequence[str], runs: Path, count: int, seed: int) -> str:
    """The page of at most ``count`` pairs of the two ``targets``: runs, or folders of pictures.

    Raises:
        UserError: there are not two, or they have no pictures to pair.
    """
    if len(targets) != 2:
        raise UserError(f"--blind compares two runs, or two folders of pictures: {len(targets)} are given")
    a, b = of_folders(targets) or of_runs(targets, runs)
    pairs = paired(a, b, random.Random(seed))[:count]
    if not pairs:
        raise UserError(f"{targets[0]} and {targets[1]} have no pictures to pair: give runs with samples, or folders")
    draw = random.Random(f"sides {seed}")
    shown = []
    for name_a, name_b in pairs:
        swapped = draw.random() < 0.5
        sides = [(source(a[name_a]), name_a), (source(b[name_b]), name_b)]
        left, right = reversed(sides) if swapped else sides
        shown.append({"left": left[0], "right": right[0], "names": [name_a, name_b], "swapped": swapped})
    pairs_id = hashlib.sha256(json.dumps(shown).encode()).hexdigest()[:16]  # under which a browser keeps the votes
    data = {"blind": {"of": list(targets), "seed": seed, "id": pairs_id, "pairs": shown}}
    return page("Which is better?", BODY.format(total=len(shown)), data, "blind.js")


BODY = """<h1>Which is better?</h1>
<p class="quiet">Left or right by the arrow keys, neither by the down key, back by the up key. <output id="progress">1
of {total}</output></p>
<div id="pair" class="pictures"><img alt="left"><img alt="right"></div>
<p><button type="button" data-vote="left">left</button> <button type="button" data-vote="neither">neither</button>
<button type="button" data-vote="right">right</button></p>
<div id="outcome" hidden><p></p><a download="votes.json">votes.json</a> <button type="button" id="anew">begin
anew</button></div>"""


def of_folders(targets: Sequence[str]) -> list[Named] | None:
    """The pictures of two folders by their names; None where ``targets`` are not both folders of pictures."""
    found = []
    for target in targets:
        folder = Path(target)
        files = sorted(folder.iterdir()) if folder.is_dir() and not (folder / "config.yaml").is_file() else []
        files = [path for path in files if path.suffix.lower() in PICTURES]
        if not files:
            return None
        found.append({path.stem: opened(path) for path in files})
    return found


def opened(path: Path) -> Image.Image:
    """The picture at ``path``.

    Raises:
        UserError: it gives none.
    """
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:  # as Pillow has it
        raise UserError(f"{path} gives no picture ({error}): mend it or take it away") from error


def of_runs(targets: Sequence[str], runs: Path) -> list[Named]:
    """The last pictures of two runs, of a panel that both have, by their places.

    Raises:
        UserError: a target is several runs, or they have no panel in common, or rows of other data.
    """
    both = []
    for target in targets:
        contenders, _ = find_contenders([target], runs)
        if len(contenders) > 1:
            raise UserError(f"{target} is {len(contenders)} runs: --blind compares one with one")
        both += contenders
    shared = both[0].pictures.keys() & both[1].pictures.keys()
    panel = next((name for name in (*PANELS, *sorted(shared)) if name in shared), None)
    data = [[block.protocol.get("data") for block in one.result.blocks] for one in both]
    if panel is None or (panel != SAMPLES and data[0] != data[1]):
        raise UserError(f"{targets[0]} and {targets[1]} have no pictures of the same things to be compared blindly")
    sheets = [opened(one.pictures[panel][-1][1]) for one in both]
    named = ({f"{panel}-{i}": part for i, part in enumerate(parts(sheet, rows=panel != SAMPLES))} for sheet in sheets)
    return list(named)


def parts(sheet: Image.Image, rows: bool) -> list[Image.Image]:
    """The pictures of a grid, or its ``rows``; cells that were never filled are left out."""
    grey = (np.asarray(sheet) == GREY).all(2)
    down, right = (between(grey.all(axis)) for axis in (1, 0))
    across = [(right[0][0], right[-1][1])] if rows and right else right
    boxes = [(left, top, end, bottom) for top, bottom in down for left, end in across]
    return [sheet.crop(box) for box in boxes if not grey[box[1] : box[3], box[0] : box[2]].all()]


def between(is_gap: np.ndarray) -> list[tuple[int, int]]:
    """The stretches between gaps."""
    edges = np.flatnonzero(np.diff(np.concatenate([[True], is_gap, [True]]).astype(int)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def paired(a: Named, b: Named, draw: random.Random) -> list[tuple[str, str]]:
    """Names of one of ``a`` and one of ``b``, in random order: of one name where they have some in common.

    Samples of a run are numbered, which says nothing of what they show.
    """
    shared = [name for name in a if name in b and not name.startswith(f"{SAMPLES}-")]
    if shared:
        draw.shuffle(shared)
        return [(name, name) for name in shared]
    left, right = list(a), list(b)
    draw.shuffle(left)
    draw.shuffle(right)
    return list(zip(left, right, strict=False))


def source(image: Image.Image) -> str:
    """``image`` as what an ``img`` shows."""
    held = io.BytesIO()
    image.save(held, "PNG")
    return f"data:image/png;base64,{base64.b64encode(held.getvalue()).decode()}"


def tell_votes(files: Sequence[str]) -> str:
    """What the votes in ``files`` say together.

    Raises:
        UserError: one cannot be read, or is of other runs.
    """
    read = {str(Path(file).resolve()): read_votes(file) for file in files}
    of = next(iter(read.values()))["of"]
    for file, one in read.items():
        if one["of"] != of:
            raise UserError(f"{file} is of {' and '.join(one['of'])}, not of {' and '.join(of)}")
    votes = [pair["vote"] for one in read.values() for pair in one["votes"]]
    first, second = of
    return outcome(first, second, votes.count(0), votes.count(1), votes.count(None))


def read_votes(file: str) -> dict[str, Any]:
    """The votes of a page.

    Raises:
        UserError: they are none.
    """
    try:
        found = json.loads(Path(file).read_text(encoding="utf-8"))
        sides = found["of"]
        if not isinstance(sides, list) or [type(side) for side in sides] != [str, str] or not found["votes"]:
            raise ValueError("two sides and some votes are due")
        if any(pair["vote"] not in (0, 1, None) for pair in found["votes"]):
            raise ValueError("a vote is 0, 1 or null")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} holds no votes of a blind comparison ({error})") from error
    return found


def outcome(first: str, second: str, wins: int, losses: int, neither: int) -> str:
    """Win rate of the ``first`` among what was decided, with Wilson's interval of 95 %."""
    decided = wins + losses
    said = f"{first} against {second}: {wins} to {losses}, {neither} undecided"
    if not decided:
        return said
    low, high = wilson(wins, decided)
    return f"{said}; wins {wins / decided:.0%} (95 % between {low:.0%} and {high:.0%})"


def wilson(wins: int, n: int) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927)."""
    share, middle = wins / n, (wins + Z**2 / 2) / (n + Z**2)
    half = Z / (n + Z**2) * math.sqrt(n * share * (1 - share) + Z**2 / 4)
    return middle - half, middle + half
