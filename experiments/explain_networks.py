"""What ``atelier explain`` says of one network: of its layers, its units, its verdicts."""

from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from datamodules.functional.quantise import to_uint8
from datamodules.pairs import in_colour
from experiments.errors import UserError
from experiments.explain_subject import Seen, named, numbers_of, rounded
from experiments.request import number
from experiments.sheets import Made
from lightning_modules.tools.ablation import MEASURES, ablated, correlations, unit_range
from lightning_modules.tools.attribution import Verdicts, deletion, grad_cam, heat, integrated_gradients, lime, score
from lightning_modules.tools.layers import find_layer, last_maps, output_of
from lightning_modules.tools.visualise import visualise

BRIGHTEST = 15  # units in a row of activation maps
LOOKED_AT = 512  # images that a unit's part is measured on
DELETED = 0.1  # share of the pixels


# --- layers -----------------------------------------------------------------------------------------------------


def activations(asked: Seen) -> Made:
    """A row an image: the image, and the maps of the units that it excites most, each from black to its largest."""
    judge, images = asked.judge, asked.images()
    verdicts = Verdicts(judge, asked.label)
    with torch.no_grad():
        maps = output_of(judge, named(judge, asked.layer), partial(verdicts, asked.scaled(images)))
    if maps.ndim != 4:
        raise UserError(f"the layer {asked.layer} puts out numbers, no maps: {list(maps.shape[1:])} of each image")
    strength = maps.mean((2, 3))
    units = strength.topk(min(BRIGHTEST, maps.shape[1])).indices
    shown = torch.stack([row[chosen] for row, chosen in zip(maps, units, strict=True)])
    low, high = shown.amin((2, 3), keepdim=True), shown.amax((2, 3), keepdim=True)
    grey = interpolate((shown - low) / (high - low).clamp_min(1e-12), images.shape[2:])
    seen = to_uint8(grey, (0.0, 1.0))[:, :, None].expand(-1, -1, images.shape[1], -1, -1)
    active = float((maps.amax((2, 3)) > 0).float().mean())
    facts = {"layer": asked.layer, "maps": list(maps.shape[1:]), "active": round(active, 4), "units": units.tolist()}
    return Made(torch.cat([images[:, None], seen.cpu()], 1), facts)


def wanted_images(asked: Seen) -> Made:
    """One row: an image that excites each of --units, and how much it does beside what --count test images do."""
    judge = asked.judge
    verdicts, layer = Verdicts(judge, asked.label), named(judge, asked.layer)
    images = asked.images()
    with torch.no_grad():
        real = output_of(judge, layer, partial(verdicts, asked.scaled(images)))
    count = real.shape[1]
    units = numbers_of(asked.request.own.get("--units", ""), min(count, 16))
    shape = (images.shape[1], images.shape[2], images.shape[3])
    steps = asked.whole("--steps", 256)
    x, excited = visualise(judge, verdicts, layer, units, shape, asked.value_range, steps)
    usual = real.reshape(*real.shape[:2], -1).mean(2)[:, units].mean(0)
    numbers = {"layer": layer, "units": units, "excited": rounded(excited), "test_images": rounded(usual)}
    return Made(to_uint8(x, asked.value_range)[None], numbers)


# --- verdicts ---------------------------------------------------------------------------------------------------


class Verdict(NamedTuple):
    """Images, and what is to be explained of them."""

    images: Tensor  # uint8 [N, C, H, W]
    x: Tensor  # in the network's range
    verdicts: Verdicts
    targets: Tensor  # [N]: the class that each is explained for; 0 of a discriminator


def verdict(asked: Seen) -> Verdict:
    """On the images that are asked for; for --class, or for what is seen in each.

    Raises:
        UserError: there is no such class.
    """
    verdicts, images = Verdicts(asked.judge, asked.label), asked.images()
    x = asked.scaled(images)
    with torch.no_grad():
        scores = verdicts(x)
    wanted = number(asked.request, "--class", 0)
    if wanted is None:
        return Verdict(images, x, verdicts, scores.argmax(1))
    if wanted >= scores.shape[1]:
        raise UserError(f"--class is {wanted}: {type(asked.judge).__name__} knows 0 to {scores.shape[1] - 1}")
    return Verdict(images, x, verdicts, torch.full((len(x),), wanted, device=x.device))


def by_maps(asked: Seen) -> Made:
    """Grad-CAM of --layer; unless given of the last one with maps of 4 px and more."""
    found = verdict(asked)
    with torch.no_grad():
        layer = asked.layer or last_maps(asked.judge, partial(found.verdicts, found.x[:1]))
    relevance = grad_cam(found.verdicts, find_layer(asked.judge, layer), found.x, found.targets)
    return relevant(asked, found, relevance, {"layer": layer})


def by_gradients(asked: Seen) -> Made:
    """Integrated gradients."""
    found = verdict(asked)
    relevance = integrated_gradients(found.verdicts, found.x, found.targets, asked.value_range)
    return relevant(asked, found, relevance, {})


def by_lime(asked: Seen) -> Made:
    """LIME."""
    found = verdict(asked)
    return relevant(asked, found, lime(found.verdicts, found.x, found.targets), {})


def relevant(asked: Seen, found: Verdict, relevance: Tensor, numbers: dict[str, Any]) -> Made:
    """A row an image: it, its relevance as colours, and both; and what deleting the most relevant pixels does."""
    with torch.no_grad():
        scores = score(found.verdicts, found.x, found.targets)
    fall, at_random = deletion(found.verdicts, found.x, found.targets, relevance, DELETED)
    images, colours = in_colour(found.images, "rgb"), heat(relevance.cpu())
    both = (images.float() / 2 + colours.float() / 2).round().to(torch.uint8)
    deleted = {"share": DELETED, "fall": round(fall, 4), "fall_of_random": round(at_random, 4)}
    numbers |= {"targets": found.targets.tolist(), "scores": rounded(scores), "deleted": deleted}
    return Made(torch.stack([images, colours, both], 1), numbers)


# --- a generator's units ----------------------------------------------------------------------------------------


def switched_off(asked: Seen) -> Made:
    """Images above what they are without a unit of --layer; the one most bound up with --measure unless --unit."""
    space, measure = asked.space, asked.request.own.get("--measure", next(iter(MEASURES)))
    if measure not in MEASURES:
        raise UserError(f"--measure is {measure}: choose of {', '.join(MEASURES)}")
    layer, codes = named(space.G, asked.layer), space.draw(LOOKED_AT)
    found, before = correlations(space, codes, layer, MEASURES[measure])
    wanted = number(asked.request, "--unit", 0)
    unit = int(found.abs().argmax()) if wanted is None else wanted
    off = ablated(space, codes, layer, unit, len(found))
    after, shown = MEASURES[measure](unit_range(space, off)), asked.whole("--count", 8)
    kept, gone = space.pictures(codes[:shown]), to_uint8(off[:shown], asked.value_range)
    change = ((gone.short() - kept.short()) // 2 + 128).clamp(0, 255).to(torch.uint8)
    numbers = {
        "layer": layer,
        "unit": unit,
        "units": len(found),
        "measure": measure,
        "correlation": round(float(found[unit]), 4),
        "on": round(float(before.mean()), 4),
        "off": round(float(after.mean()), 4),
        "images": LOOKED_AT,
    }
    return Made(torch.stack([kept, gone, change]), numbers)
