"""The options of ``atelier evaluate``, read and checked against each other before anything is loaded."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

from jsonargparse import get_loader

from datamodules.array_file import is_array
from datamodules.collection import Change
from experiments.catalogue import find_file
from experiments.errors import UserError, did_you_mean
from experiments.layers import read_layer
from experiments.request import Request, new_path, number
from lightning_modules.metrics.fidelity.labels import LabelScores, Palette, find_palette
from lightning_modules.metrics.fidelity.metrics import Measure
from lightning_modules.metrics.fidelity.pixelwise import mae, psnr
from lightning_modules.metrics.fidelity.protocol import FidelityProtocol
from lightning_modules.metrics.fidelity.ssim import ms_ssim, ssim
from lightning_modules.metrics.presets import Preset, find_preset
from lightning_modules.metrics.standard import ALL, NAMED

# Metrics that compare image with image. Others are LPIPS, with a network and so with weights of its own, and those of
# label maps, with a palette.
MEASURES: Mapping[str, Measure] = {"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim, "mae": mae}
LPIPS = "lpips"
PAIRED = (*MEASURES, LPIPS, *LabelScores.NAMES)

NUMBERS = {"--fakes": 2, "--seeds": 1, "--size": 1, "--channels": 1, "--background": 0, "--shave": 0}  # the least
OF_RUNS = ("--split", "--seeds", "--floor", "--ckpt")
OF_FILES = ("--size", "--channels", "--background")
OF_PAIRS = ("--colour", "--shave")
OF_NETWORKS = ("--weights",)
OF_LABELS = ("--palette",)
OF_PAIRED = (*OF_PAIRS, *OF_LABELS)
OF_SETS = ("--protocol", "--extractor", "--fakes")  # runs are scored as sets, too
OWN = ("--metrics", "--out", "--cache", *OF_SETS, *OF_NETWORKS, *OF_RUNS, *OF_FILES, *OF_PAIRED)
YES_NO = {"yes": True, "no": False}
EVALUATION = "evaluation"  # the house key by which a run says how it is evaluated
FIXED_BY = {"extractor": "extractor", "split": "reference_split", "fakes": "fakes", "seed": "seed"}  # in presets


@dataclass(frozen=True)
class Options:
    """What is to be measured, and by what. None, or nothing, leaves the choice to the run.

    Args:
        request: the command line, sorted.
        target: what is scored.
        other: the second place of images; None for a run.
        metrics: by name.
        preset: the protocol to follow.
        said: arguments of the run's evaluation that the command line itself gives, which no preset overrules.
        extractor: its name.
        weights: path of its weights.
        split: of the reference.
        fakes: how many.
        seed: of the first evaluation.
        seeds: evaluations, each with other fakes.
        checkpoint: of a run, where the command line names none.
        floor: whether real images are scored too.
        change: what may be done to images of files.
        pixels: what of a pair of images is compared.
        palette: of label maps.
        out: the JSON file to write.
    """

    request: Request
    target: str
    other: str | None
    metrics: tuple[str, ...]
    preset: Preset | None
    said: frozenset[str]
    extractor: str | None
    weights: str | None
    split: str | None
    fakes: int | None
    seed: int | None
    seeds: int
    checkpoint: str
    floor: bool | None
    change: Change
    pixels: FidelityProtocol
    palette: Palette | None
    out: Path | None

    @property
    def paired(self) -> bool:
        """Whether image is compared with image."""
        return bool(self.metrics) and self.metrics[0] in PAIRED


def read_options(request: Request) -> Options:
    """The options in ``request``; what a preset fixes stands where nothing was said.

    Raises:
        UserError, ValueError: they cannot be, or do not go together.
    """
    own = request.own
    target, other = _places(request)
    metrics = _metrics(own.get("--metrics"))
    _check_kind(request, target, other, metrics)
    numbers = {name: number(request, name, least) for name, least in NUMBERS.items()}
    preset = find_preset(own["--protocol"]) if "--protocol" in own else None
    said = frozenset(_said(request))
    own_words = {FIXED_BY[name] for name in said if name in FIXED_BY}
    fixed = {} if preset is None else {name: value for name, value in preset.fields.items() if name not in own_words}
    return Options(
        request=request,
        target=target,
        other=other,
        metrics=metrics,
        preset=preset,
        said=said,
        extractor=own.get("--extractor") or _text(fixed.get("extractor")),
        weights=own.get("--weights"),
        split=_one_of(own.get("--split"), "--split", ("train", "test")) or _text(fixed.get("reference_split")),
        fakes=numbers["--fakes"] or _whole(fixed.get("fakes")),
        seed=_whole(fixed.get("seed")),
        seeds=numbers["--seeds"] or (1 if preset is None else preset.runs),
        checkpoint="best" if str(fixed.get("checkpoint")).startswith("best") else "last",
        floor=YES_NO.get(_one_of(own.get("--floor"), "--floor", tuple(YES_NO)) or ""),
        change=Change(numbers["--size"], numbers["--channels"], numbers["--background"]),
        pixels=FidelityProtocol(own.get("--colour", "rgb"), numbers["--shave"] or 0),  # which checks
        palette=_palette(own.get("--palette")),
        out=_new(own.get("--out")),
    )


def _places(request: Request) -> tuple[str, str | None]:
    if request.target is None:
        raise UserError(
            "evaluate begins with what to score: `atelier evaluate RUN_DIR`, or `atelier evaluate IMAGES REFERENCE`"
        )
    words = request.overrides
    if not words or words[0].startswith("-"):
        return request.target, None
    if request.configs or len(words) > 1:
        raise UserError(f"{(*words[1:], '--config')[0]} has no meaning for two places of images: leave it out")
    return request.target, words[0]


def _metrics(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names, known = tuple(text.split(",")), (*NAMED, *PAIRED)
    if names == (ALL,):
        return names
    for name in names:
        if name == ALL:
            raise UserError(f"--metrics {ALL} stands alone: it means the others too")
        if name not in known:
            otherwise = f"choose of {', '.join(known)}, or {ALL}"
            raise UserError(f"there is no metric {name!r}: {did_you_mean(name, known, otherwise)}")
        if names.count(name) > 1:
            raise UserError(f"{name} is named twice: leave one out")
    sets = [name for name in names if name not in PAIRED]
    if 0 < len(sets) < len(names):
        raise UserError(f"{sets[0]} compares sets and not pairs of images: measure it by a command of its own")
    return names


def _check_kind(request: Request, target: str, other: str | None, metrics: Sequence[str]) -> None:
    """See that every option means something for what is scored."""
    paired = bool(metrics) and metrics[0] in PAIRED
    if paired and other is None:
        raise UserError(f"{metrics[0]} compares two places of images: `atelier evaluate RESTORED TARGETS`")
    if paired:
        kind, foreign = "pairs of images", [*OF_RUNS, *OF_FILES, *OF_SETS]
        foreign += () if LPIPS in metrics else OF_NETWORKS
        foreign += () if set(metrics) & set(MEASURES) else OF_PAIRS
        foreign += () if set(metrics) & set(LabelScores.NAMES) else OF_LABELS
    elif other is not None and is_array(target) and is_array(other):
        kind, foreign = "two arrays", [*OF_RUNS, *OF_PAIRED, *OF_FILES]
    elif other is not None:
        kind, foreign = "two sets of images", [*OF_RUNS, *OF_PAIRED]
    else:
        kind, foreign = "a run", [*OF_FILES, *OF_PAIRED]
    for name in foreign:
        if name in request.own:
            raise UserError(f"{name} has no meaning for {kind}: leave it out")
    if (of_labels := set(metrics) & set(LabelScores.NAMES)) and not set(OF_LABELS) & set(request.own):
        raise UserError(f"{min(of_labels)} is of label maps: say with --palette which colours stand for their classes")


def _said(request: Request) -> Iterator[str]:
    """The arguments of ``evaluation`` that options or YAMLs of the command line give."""
    for config in request.configs:
        yield from _arguments(read_layer(find_file(config)))
    for word, value in pairwise(request.overrides):
        if word.startswith(f"--{EVALUATION}."):
            yield from _arguments({word.removeprefix("--"): value})
        elif word == f"--{EVALUATION}":
            yield from _arguments({EVALUATION: get_loader("yaml")(value)})


def _arguments(layer: Mapping[str, Any]) -> Iterator[str]:
    for key, value in layer.items():
        head, _, argument = str(key).partition(".")
        if head == EVALUATION and argument:
            yield argument.split(".")[0].removesuffix("+")
        elif head == EVALUATION and isinstance(value, Mapping):
            yield from map(str, value)


def _one_of(word: str | None, name: str, known: Sequence[str]) -> str | None:
    if word is not None and word not in known:
        raise UserError(f"{name} expects {' or '.join(known)}, got {word!r}")
    return word


def _palette(given: str | None) -> Palette | None:
    """Named, or by its colours with commas between."""
    if given is None:
        return None
    return find_palette(given.split(",") if "," in given else given)


def _new(path: str | None) -> Path | None:
    """Where the JSON is to be written, no picture of another one being there, either."""
    if path is None:
        return None
    out = new_path(path)
    for picture in out.parent.glob(f"{escape(out.stem)}.*.png"):
        raise UserError(f"{picture} lies where a picture of {out} may come: give another --out")
    return out


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
