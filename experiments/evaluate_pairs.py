"""``atelier evaluate RESTORED TARGETS --metrics psnr,ssim``: image against image, paired by their names.

Images are taken as they are, of any sizes, one pair at a time; a set's score is the mean of its images' own.
"""

import hashlib
from collections.abc import Mapping

from torch import Tensor

from datamodules.collection import WholeImages, whole_images
from datamodules.inspection import Progress
from experiments.errors import UserError
from experiments.evaluate_options import PAIRED, Options
from experiments.score_report import ScoreReport
from lightning_modules.metrics.fidelity.lpips import LPIPS
from lightning_modules.metrics.fidelity.metrics import Fidelity, Measure
from lightning_modules.metrics.fidelity.pixelwise import mae, psnr
from lightning_modules.metrics.fidelity.protocol import FidelityProtocol
from lightning_modules.metrics.fidelity.ssim import ms_ssim, ssim

MEASURES: Mapping[str, Measure] = {"psnr": psnr, "ssim": ssim, "ms_ssim": ms_ssim, "mae": mae}


def score(options: Options) -> ScoreReport:
    """Compare every image of the first place with its namesake in the second.

    Raises:
        UserError: they do not pair up, or a metric is not one of pairs; ValueError: two images cannot be compared.
    """
    if foreign := [name for name in options.metrics if name not in PAIRED]:
        raise UserError(f"{foreign[0]} compares sets and not pairs of images: measure it by a command of its own")
    target, other = options.request.target, options.other
    if target is None or other is None:
        raise UserError(f"{options.metrics[0]} compares two places of images: `atelier evaluate RESTORED TARGETS`")
    restored, targets = whole_images(target), whole_images(other)
    check_names(restored, targets, target, other)
    protocol = FidelityProtocol(options.colour, options.shave)  # type: ignore[arg-type]  # checked where it is made
    metrics = [Fidelity(protocol, {name: MEASURES[name] for name in options.metrics if name in MEASURES})]
    lpips = [LPIPS(weights=options.weights)] if "lpips" in options.metrics else []
    digest, progress = hashlib.sha256(), Progress(other, len(targets.names), "compared")
    for done, name in enumerate(targets.names):
        a, b = restored[name], targets[name]
        digest.update(f"{tuple(b.shape)}".encode())
        digest.update(b.numpy().data)
        compare(name, a, b, [*metrics, *lpips])
        progress.show(done + 1)
    progress.end()
    scores = {name: value for metric in (*metrics, *lpips) for name, value in metric.as_floats().items()}
    stated = {"targets": targets.title, "targets_sha256": digest.hexdigest(), "images": len(targets.names)}
    return ScoreReport(
        title=f"{target} against {other}, image by image",
        of={"restored": restored.title},
        protocol=stated | protocol.as_dict() | {name: value for m in lpips for name, value in m.fields.items()},
        scores=[scores],
    )


def compare(name: str, restored: Tensor, target: Tensor, metrics: list[Fidelity | LPIPS]) -> None:
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
