"""``atelier edit``: what can be done with the latent space of a trained generator, as a sheet and its numbers.

A PNG, a JSON of the same name beside it: what was asked, and what was measured. Every tool says where a generator lacks
the space that it needs.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from datamodules.functional.quantise import from_uint8, to_uint8
from experiments.errors import UserError
from experiments.lightning_cli import hush_lightning, users_mistakes
from experiments.look import find_subject
from experiments.request import Task, ignored, number, read_request, take_task
from experiments.sample import home, load_generator
from experiments.sheets import Asked, Made, keep, sheet_path
from experiments.train import say
from lightning_modules.metrics.extractors import load_extractor
from lightning_modules.networks.base import StyledGenerator
from lightning_modules.networks.latent_cycle import DCGANEncoder
from lightning_modules.tools.directions import Directions, attribute, ganspace, sefa, towards_mean
from lightning_modules.tools.edits import between, mixed, traversals, truncated, variations
from lightning_modules.tools.inversion import Inverted, encoded, invert, teach
from lightning_modules.tools.spaces import BLOCK, SPACES, Space, WPlusSpace

OF_ALL = ("--space", "--label", "--seed", "--out", "--ckpt")
OF_INVERSION = ("--image", "--by", "--steps", "--teach")
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)  # of a truncation sweep
LABELLED = 4000  # codes that an attribute is learned from
TOWARDS = {"means": towards_mean, "separator": attribute}


@dataclass(frozen=True)
class Edit(Asked):
    """An edit that was asked for.

    Args:
        request: the command line.
        space: in which.
    """

    space: Space

    def images(self) -> Tensor:
        """Those of --image, [N, C, H, W] in the generator's range."""
        x = self.pictures(self.space.G.out_shape[0])
        return from_uint8(x, self.space.module.value_range).to(self.space.module.device)


def edit(argv: Sequence[str]) -> int:
    """Do one thing, and say where the sheet is.

    Raises:
        UserError: the command cannot be run.
    """
    hush_lightning()
    request = read_request(argv, OWN)
    task = take_task(request, "edit", TASKS, OF_ALL)
    name = request.own.get("--space", "w+" if task == "mix" else "")
    if name and name not in SPACES:
        raise UserError(f"--space is {name}: choose of {', '.join(SPACES)}")
    subject = find_subject(request, "edit")
    module, step = load_generator(subject)
    kind = SPACES[name or ("w" if isinstance(module.G, StyledGenerator) else "z")]
    seed = number(request, "--seed", 0) or 0
    place = home(subject) / "edits" / f"{task}-step{step}-seed{seed}.png"
    out = sheet_path(request, place, (".png", ".webp"))
    torch.manual_seed(seed)
    with users_mistakes():
        space = kind(module, number(request, "--label", 0))
        made = TASKS[task].do(Edit(request, space))
    facts = {"task": task, "space": space.name, "step": step, "seed": seed, "asked": request.own}
    keep(made, out, f"{task} in {space.name}", facts, ignored(request))
    return 0


def ways(asked: Edit) -> Made:
    """Rows from one drawn code to another."""
    a, b = asked.space.draw(2 * asked.whole("--count", 4)).chunk(2)
    return Made(between(asked.space, a, b, asked.whole("--columns", 9, 2)), {})


def truncation(asked: Edit) -> Made:
    """Rows of drawn codes, from the mean code outwards."""
    sheet = truncated(asked.space, asked.space.draw(asked.whole("--count", 4)), SHARES)
    return Made(sheet, {"shares": list(SHARES)})


def mixing(asked: Edit) -> Made:
    """Rows of drawn codes, or of the codes of --image, with layers of those of the columns; they themselves around."""
    space = asked.space
    if not isinstance(space, WPlusSpace):
        raise UserError(f"mix works on the layers of w+, not in {space.name}")
    n, layers = asked.whole("--count", 4), layers_of(asked.request.own.get("--layers", ""), space.styled.num_styles)
    given = inverted(asked, asked.images()).codes if "--image" in asked.request.own else None
    coarse, fine = (space.draw(n), space.draw(n)) if given is None else (given, given)
    inner, rows, columns = mixed(space, coarse, fine, layers), space.pictures(coarse), space.pictures(fine)
    blank = torch.full_like(columns[:1], 128)
    top = torch.cat([blank, columns])[None]
    return Made(torch.cat([top, torch.cat([rows[:, None], inner], 1)]), {"layers": layers})


def layers_of(text: str, count: int) -> list[int]:
    """Layers as ``4,5`` or ``2-7``; the finer half unless given.

    Raises:
        UserError: it is neither.
    """
    if not text:
        return list(range(count // 2, count))
    found: list[int] = []
    for part in text.split(","):
        ends = part.split("-")
        if len(ends) > 2 or not all(end.isdecimal() for end in ends):
            raise UserError(f"--layers expects numbers such as 4,5 or 2-7, got {text!r}")
        found += range(int(ends[0]), int(ends[-1]) + 1)
    return found


def traversal(asked: Edit, found: Directions, reach: float) -> Made:
    """A row a direction, around the mean code in w, around a drawn one in z."""
    space = asked.space
    code = space.draw(1) if space.name == "z" else space.middle()
    columns = asked.whole("--columns", 7, 2)
    sheet = traversals(space, code, found.vectors, asked.real("--reach", reach), columns)
    return Made(sheet, {"strengths": [round(value, 4) for value in found.strengths.tolist()]})


def closed_form(asked: Edit) -> Made:
    """SeFa's directions."""
    G = asked.space.G
    if not isinstance(G, StyledGenerator) or asked.space.name == "z":
        raise UserError(f"sefa reads what makes styles of w, and a {type(G).__name__}'s {asked.space.name} has none")
    return traversal(asked, sefa(G, asked.whole("--count", 5)), 3.0)


def components(asked: Edit) -> Made:
    """GANSpace's directions."""
    found = ganspace(asked.space, asked.whole("--count", 5))
    return traversal(asked, found, 3 * float(found.strengths[0]))


def towards(asked: Edit) -> Made:
    """Drawn codes moved until a classifier sees the class --class, and the share of which it does."""
    space = asked.space
    wanted = number(asked.request, "--class", 0)
    if wanted is None or isinstance(space, WPlusSpace):
        raise UserError("attribute needs --class K, the class to be seen, and the space z or w")
    by = asked.request.own.get("--by", "means")
    if by not in TOWARDS:
        raise UserError(f"--by is {by}: choose of {', '.join(TOWARDS)}")
    classifier = load_extractor(asked.request.own.get("--classifier", "mnist-cnn")).to(space.module.device)
    try:
        classifier.fit(space.G.out_shape)
    except ValueError as error:
        raise UserError(f"{classifier.name} does not read this G's images: choose another with --classifier") from error
    classes = classifier.num_classes or 0
    if wanted >= classes:
        raise UserError(f"--class is {wanted}: {classifier.name} knows 0 to {classes - 1}")

    def seen(codes: Tensor) -> Tensor:
        parts = [classifier.extract(space.pictures(part)).logits for part in codes.split(BLOCK)]
        return torch.cat([part for part in parts if part is not None]).argmax(1)

    drawn = space.draw(LABELLED)
    found = TOWARDS[by](drawn, seen(drawn) == wanted)
    start = space.draw(4 * BLOCK)
    start = start[seen(start) != wanted]
    spread = float((drawn @ found.vectors[0]).std())
    reach, columns = asked.real("--reach", 4.0), asked.whole("--columns", 7, 2)
    changed = seen(start + reach * spread * found.vectors) == wanted
    shares = torch.linspace(0, 1, columns).tolist()
    rows = start[: asked.whole("--count", 6)]
    codes = torch.stack([rows + share * reach * spread * found.vectors for share in shares], 1)
    sheet = space.pictures(codes.flatten(0, 1)).unflatten(0, (len(rows), columns))
    numbers = {
        "class": wanted,
        "classifier": classifier.name,
        "by": by,
        "balanced_accuracy": round(float(found.strengths), 4),
        "changed": round(float(changed.float().mean()), 4),
        "tries": len(start),
    }
    return Made(sheet, numbers)


def inversion(asked: Edit) -> Made:
    """Each of --image, or of the images of drawn codes, above what its code makes; its code by --by.

    Of drawn codes it says how far the found ones are from them too, in deviations of drawn ones.
    """
    space = asked.space
    value_range, known = space.module.value_range, None
    if "--image" in asked.request.own:
        x = asked.images()
    else:
        known = space.draw(asked.whole("--count", 8))
        x = from_uint8(space.pictures(known), value_range)
    found = inverted(asked, x)
    numbers: dict[str, Any] = {"psnr": [round(value, 2) for value in found.psnr.tolist()]}
    if known is not None:
        away = (found.codes - known) / space.draw(BLOCK).std(0).clamp_min(1e-6)
        numbers["code_error"] = [round(value, 3) for value in away.square().flatten(1).mean(1).sqrt().tolist()]
    return Made(to_uint8(torch.stack([x, found.images.clamp(*value_range)]), value_range), numbers)


def inverted(asked: Edit, x: Tensor) -> Inverted:
    """``x`` [N, C, H, W] as codes, found by --by."""
    by = asked.request.own.get("--by", "steps")
    if by not in ("steps", "encoder", "both"):
        raise UserError(f"--by is {by}: choose of steps, encoder, both")
    found = None if by == "steps" else encoded(asked.space, x, lambda: taught(asked))
    if found is None or by == "both":
        begun = None if found is None else found.codes
        found = invert(asked.space, x, steps=asked.whole("--steps", 500), begun=begun)
    return found


def taught(asked: Edit) -> nn.Module:
    """An encoder of the generator's images, of its side and channels, after --teach steps."""
    space, steps = asked.space, asked.whole("--teach", 1000)
    channels, side = space.G.out_shape[0], space.G.out_shape[-1]
    encoder = DCGANEncoder(side, channels, space.draw(1).numel(), batch_norm=True).to(space.module.device)
    say(f"this family has no encoder: one is taught in {steps} steps")
    return teach(space, encoder, steps)


def near(asked: Edit) -> Made:
    """Images near that of --image, or of a drawn code."""
    space = asked.space
    given = "--image" in asked.request.own
    code = inverted(asked, asked.images()[:1]).codes if given else space.draw(1)
    sheet = variations(space, code, asked.whole("--count", 8), asked.real("--strength", 0.3))
    return Made(torch.cat([space.pictures(code)[None], sheet], 1), {})


TASKS: Mapping[str, Task[Callable[[Edit], Made]]] = {
    "between": Task(ways, ("--count", "--columns")),
    "truncate": Task(truncation, ("--count",)),
    "mix": Task(mixing, ("--count", "--layers", *OF_INVERSION)),
    "sefa": Task(closed_form, ("--count", "--columns", "--reach")),
    "ganspace": Task(components, ("--count", "--columns", "--reach")),
    "attribute": Task(towards, ("--class", "--by", "--classifier", "--count", "--columns", "--reach")),
    "invert": Task(inversion, ("--count", *OF_INVERSION)),
    "vary": Task(near, ("--count", "--strength", *OF_INVERSION)),
}
OWN = sorted({*OF_ALL, *(name for task in TASKS.values() for name in task.options)})
