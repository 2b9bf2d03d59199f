"""``atelier evaluate RESTORED TARGETS --metrics psnr,ssim``: image against image, paired by their names.

Images are taken as they are, of any sizes, one pair at a time; a set's score is the mean of its images' own. Each is
turned as its EXIF orientation says, as ``restore`` reads it and a viewer shows it.
"""

import hashlib
from collections.abc import Sequence

from torch import Tensor

from datamodules.collection import WholeImages, whole_images
from datamodules.decode import decode_upright
from datamodules.inspection import Progress
from experiments.errors import UserError
from experiments.evaluate_options import LPIPS, MEASURES, Options
from experiments.score_report import ScoreReport
from lightning_modules.metrics.fidelity import lpips
from lightning_modules.metrics.fidelity.labels import LabelScores
from lightning_modules.metrics.fidelity.metrics import Fidelity
from lightning_modules.metrics.protocol import Plain

Compares = Fidelity | lpips.LPIPS | LabelScores


def score(options: Options) -> ScoreReport:
    """Compare every image of the first place with its namesake in the second.

    Raises:
        UserError: they do not pair up.
        ValueError: two images cannot be compared; FileNotFoundError: no images, or no weights of LPIPS.
    """
    assert options.other is not None
    restored, targets = (whole_images(place, decode_upright) for place in (options.target, options.other))
    check_names(restored, targets, options.target, options.other)
    metrics, stated = made(options)
    digests, progress = (hashlib.sha256(), hashlib.sha256()), Progress(options.other, len(targets), "compared")
    for done, name in enumerate(targets.names):
        pair = restored[name], targets[name]
        for digest, image in zip(digests, pair, strict=True):
            digest.update(f"{image.dtype} {tuple(image.shape)}".encode())
            digest.update(image.numpy().data)
        compare(name, *pair, metrics)
        progress.show(done + 1)
    progress.end()
    of_restored, of_targets = (digest.hexdigest() for digest in digests)
    return ScoreReport(
        title=f"{options.target} against {options.other}, image by image",
        of={"restored": restored.title, "restored_sha256": of_restored},
        protocol={"targets": targets.title, "targets_sha256": of_targets, "images": len(targets), **stated},
        scores=[{name: value for metric in metrics for name, value in metric.as_floats().items()}],
    )


def made(options: Options) -> tuple[list[Compares], dict[str, Plain]]:
    """The metrics that are asked for, and what their scores hang on."""
    metrics: list[Compares] = []
    stated: dict[str, Plain] = {}
    if measures := {name: MEASURES[name] for name in options.metrics if name in MEASURES}:
        metrics.append(Fidelity(options.pixels, measures))
        stated |= options.pixels.as_dict()
    if LPIPS in options.metrics:
        network = lpips.LPIPS(weights=options.weights)
        metrics.append(network)
        stated |= network.fields
    if options.palette is not None:
        metrics.append(LabelScores(options.palette, [name for name in options.metrics if name in LabelScores.NAMES]))
        stated["palette"] = ",".join(options.palette.colours)
    return metrics, stated


def compare(name: str, restored: Tensor, target: Tensor, metrics: Sequence[Compares]) -> None:
    """Show one pair, uint8 [1, C, H, W], to all ``metrics``.

    Raises:
        ValueError: it cannot be compared, with its name.
    """
    try:
        for metric in metrics:
            metric.update(restored, target)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def check_names(restored: WholeImages, targets: WholeImages, target: str, other: str) -> None:
    """See that each image has its namesake.

    Raises:
        UserError: some have none; the first is named.
    """
    for here, there, one, two in ((restored, targets, target, other), (targets, restored, other, target)):
        if alone := [name for name in here.names if name not in there]:
            raise UserError(
                f"{len(alone)} images of {one} have no namesake in {two}, {alone[0]} the first: pairs bear one name,"
                " without the suffix"
            )
