"""``python -m experiments.ship RUN_DIR NAME``: turn the classifier of a finished run into a shipped extractor.

A step for maintainers: the weights go into the package under NAME, with a card, and never change afterwards.
"""

from collections.abc import Sequence

from experiments.errors import UserError, leave_by
from experiments.lightning_cli import hush_lightning, users_mistakes
from experiments.look import prepare
from experiments.train import say
from experiments.weights import load_weights
from lightning_modules.classifier import Classifier
from lightning_modules.metrics.export import export_extractor
from lightning_modules.metrics.extractors import ARCHITECTURES
from lightning_modules.networks.base import Classifier as ClassifierNetwork


def ship(argv: Sequence[str]) -> int:
    """Export the last checkpoint's averaged network; its accuracy is measured on the whole test split."""
    if len(argv) != 2:
        raise UserError("give a run directory and a name: `python -m experiments.ship RUN_DIR digits-cnn`")
    hush_lightning()
    _, subject = prepare(argv[:1], "ship")
    module, data = subject.cli.model, subject.cli.datamodule
    load_weights(module, subject.checkpoint)
    if not isinstance(module, Classifier) or not isinstance(module.evaluated, ClassifierNetwork):
        raise UserError(f"{argv[0]} is no run of a classifier: only those are shipped")
    if type(module.evaluated).__name__ not in ARCHITECTURES:
        raise UserError(f"{argv[0]} has a network of its own: shipped are {' and '.join(ARCHITECTURES)}")
    with users_mistakes():
        test = data.reference("test")  # type: ignore[attr-defined]
    side = test.images.shape[-1]
    experiment = subject.cli.config.experiment
    with users_mistakes():
        extractor = export_extractor(
            module.evaluated,
            argv[1],
            test.images,
            test.labels,
            module.value_range,
            data=test.name,
            command=f"atelier fit {experiment}",
            padded=[28] if test.name == "mnist" and side == 32 else [],
        )
    say(f"{argv[1]}: {extractor.card.test_accuracy:.4%} on {len(test)} test images, sha256 {extractor.sha256}")
    return 0


if __name__ == "__main__":
    leave_by(ship)
