"""The options of ``atelier evaluate``, read and checked against each other before anything is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.collection import Change
from experiments.errors import UserError
from experiments.request import Request, number
from lightning_modules.metrics.presets import PRESETS, Preset, find_preset

NUMBERS = {"--fakes": 2, "--seeds": 1, "--size": 1, "--channels": 1, "--background": 0, "--shave": 0}  # the least
OF_RUNS = ("--split", "--seeds", "--floor", "--ckpt")
OF_FILES = ("--size", "--channels", "--background")
OF_PAIRS = ("--colour", "--shave")
OWN = (
    *("--protocol", "--metrics", "--extractor", "--weights", "--fakes", "--out", "--cache"),
    *(*OF_RUNS, *OF_FILES, *OF_PAIRS),
)
PAIRED = ("psnr", "ssim", "ms_ssim", "mae", "lpips")  # metrics that compare image with image
YES_NO = {"yes": True, "no": False}


@dataclass(frozen=True)
class Options:
    """What is to be measured, and by what. None, or nothing, leaves the choice to the run.

    Args:
        request: the command line, sorted.
        other: the second place of images; None for a run.
        metrics: by name.
        preset: the protocol to follow.
        extractor: its name.
        weights: path of its weights.
        split: of the reference.
        fakes: how many.
        seeds: evaluations, each with other fakes.
        floor: whether real images are scored too.
        change: what may be done to images of files.
        colour: what of a pair of images is compared.
        shave: pixels left out at each side of a pair.
        out: the JSON file to write.
    """

    request: Request
    other: str | None
    metrics: tuple[str, ...]
    preset: Preset | None
    extractor: str | None
    weights: str | None
    split: str | None
    fakes: int | None
    seeds: int | None
    floor: bool | None
    change: Change
    colour: str
    shave: int
    out: Path | None

    @property
    def paired(self) -> bool:
        """Whether image is compared with image."""
        return any(name in PAIRED for name in self.metrics)

    @property
    def settings(self) -> Preset:
        """Whose settings metrics have that are asked for by name."""
        return self.preset or PRESETS["atelier"]


def read_options(request: Request) -> Options:
    """The options in ``request``; what a preset fixes stands where nothing was said.

    Raises:
        UserError: they cannot be, or do not go together.
    """
    own = request.own
    other = request.overrides[0] if request.overrides and not request.overrides[0].startswith("-") else None
    _check_kind(request, other)
    numbers = {name: number(request, name, least) for name, least in NUMBERS.items()}
    preset = _preset(own.get("--protocol"))
    fixed = {} if preset is None else preset.fields
    if str(fixed.get("checkpoint")).startswith("best") and other is None:
        own.setdefault("--ckpt", "best")
    return Options(
        request=request,
        other=other,
        metrics=tuple(name for name in own.get("--metrics", "").split(",") if name),
        preset=preset,
        extractor=own.get("--extractor") or _text(fixed.get("extractor")),
        weights=own.get("--weights"),
        split=_one_of(own.get("--split"), "--split", ("train", "test")) or _text(fixed.get("reference_split")),
        fakes=numbers["--fakes"] or _whole(fixed.get("fakes")),
        seeds=numbers["--seeds"] or (None if preset is None else preset.runs),
        floor=YES_NO.get(_one_of(own.get("--floor"), "--floor", tuple(YES_NO)) or ""),
        change=Change(numbers["--size"], numbers["--channels"], numbers["--background"]),
        colour=own.get("--colour", "rgb"),
        shave=numbers["--shave"] or 0,
        out=_new(own.get("--out")),
    )


def _check_kind(request: Request, other: str | None) -> None:
    if request.target is None:
        raise UserError(
            "evaluate needs something to score: `atelier evaluate RUN_DIR`, or `atelier evaluate IMAGES REFERENCE`"
        )
    foreign = (*OF_FILES, *OF_PAIRS) if other is None else OF_RUNS
    for name in foreign:
        if name in request.own:
            raise UserError(f"{name} is for {'two places of images' if other is None else 'a run'}: leave it out")
    if other is not None and (request.configs or len(request.overrides) > 1):
        word = request.overrides[1] if len(request.overrides) > 1 else "--config"
        raise UserError(f"{word} has no meaning for two places of images: leave it out")


def _preset(name: str | None) -> Preset | None:
    try:
        return None if name is None else find_preset(name)
    except ValueError as error:
        raise UserError(str(error)) from error


def _one_of(word: str | None, name: str, known: Sequence[str]) -> str | None:
    if word is not None and word not in known:
        raise UserError(f"{name} expects {' or '.join(known)}, got {word!r}")
    return word


def _new(path: str | None) -> Path | None:
    if path is not None and Path(path).exists():
        raise UserError(f"{path} exists and is not overwritten: give another --out")
    return None if path is None else Path(path)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None
