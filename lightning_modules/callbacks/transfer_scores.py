"""How near styled pictures are to their content and to their style, at the start, at each validation and at a test."""

from collections.abc import Mapping, Sequence
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torchmetrics import MeanMetric

from datamodules.functional.hashes import sha256_of
from datamodules.functional.precision import full_precision
from datamodules.functional.statistics import gram
from lightning_modules.base import AtelierModule
from lightning_modules.callbacks.scores import MeasuredScores
from lightning_modules.metrics.ranks import rank_and_world
from lightning_modules.networks.base import FeatureMaps
from lightning_modules.styling import Styling


class TransferScores(MeasuredScores):
    """Scores ``content@<network>`` and ``style@<network>``: relative squared distances, means over layers and pictures.

    Content is compared by the maps, style by their Gram matrices, both as shares of the squared norm of what is wanted:
    0 is equal, 1 as far as nothing at all. Of several styles it is their mean. Of a family that aims at other maps than
    the content's, as AdaIN does, ``target@<network>`` is the distance to those.

    Args:
        features: the network, which is frozen and runs in full precision.
        content_layers: of it; none leaves the content out, as for textures.
        style_layers: of it.

    Raises:
        ValueError: no style layers, or such as the network has not; in ``setup``, a family without styled pictures.
    """

    untrained = True

    def __init__(self, features: FeatureMaps, content_layers: Sequence[str], style_layers: Sequence[str]) -> None:
        super().__init__()
        features.require([*content_layers, *style_layers])
        if not style_layers:
            raise ValueError("TransferScores compares no style: name style_layers")
        self.features = features.requires_grad_(False).eval()
        self.content_layers, self.style_layers = tuple(content_layers), tuple(style_layers)
        self.features_sha256 = ""
        self.data: dict[str, Any] = {}

    @property
    def described(self) -> dict[str, Any]:
        """Which network, which of its layers, and what is to be styled."""
        return {
            "features": self.features.title,
            "features_sha256": self.features_sha256,
            "content_layers": list(self.content_layers),
            "style_layers": list(self.style_layers),
            "checkpoint": self.checkpoint,
            "data": {"pictures": self.data},
        }

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """See that there is something to compare, before training starts."""
        if not isinstance(pl_module, Styling):
            raise ValueError(f"styling: a {type(pl_module).__name__} makes no styled pictures; set it to null")
        self.features_sha256 = sha256_of(self.features.state_dict().values())
        pictures = list(trainer.datamodule.held_out())  # type: ignore[attr-defined]
        self.data = {"images": len(pictures), "sha256": sha256_of(part for batch in pictures for part in batch)}

    def measure(self, module: AtelierModule) -> dict[str, float]:
        """As the base; each rank compares its share of the pictures."""
        assert isinstance(module, Styling)
        rank, world = rank_and_world()
        names = ["content"] * bool(self.content_layers) + ["style"] + ["target"] * self.sees_targets(module)
        means = {name: MeanMetric().to(module.device) for name in names}
        self.features.to(module.device)
        for i, batch in enumerate(module.trainer.datamodule.held_out()):  # type: ignore[attr-defined]
            if i % world == rank:
                x, y, guide = (part.to(module.device) for part in batch)
                targets = module.targets((x, y, guide)) if "target" in names else {}
                for name, distance in self.compare(module.restore((x, y, guide)), x, y, targets).items():
                    means[name].update(distance)
        return {f"{name}@{self.features.title}": float(mean.compute()) for name, mean in means.items()}

    def sees_targets(self, module: Styling) -> bool:
        """Whether the family has maps of its own to aim at, of the network that is asked here."""
        return type(module).targets is not Styling.targets and module.features.title == self.features.title

    @torch.no_grad()
    def compare(self, image: Tensor, x: Tensor, y: Tensor, targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Distances of ``image`` to the content ``x``, to the styles ``y`` [1, K, 3, h, w] and to ``targets``, where
        there is something to compare."""
        with full_precision(image.device):
            found, content, styles = (self.features(one.float().clamp(0, 1)) for one in (image, x, y[0]))
        apart = {
            "content": [relative(found[layer], content[layer]) for layer in self.content_layers],
            "style": [relative(gram(found[layer]), gram(styles[layer])) for layer in self.style_layers],
            "target": [relative(found[layer], maps) for layer, maps in targets.items()],
        }
        return {name: torch.stack(distances).mean() for name, distances in apart.items() if distances}


def relative(found: Tensor, wanted: Tensor) -> Tensor:
    """Squared distance of ``found`` [1, ...] to each of ``wanted`` [K, ...], of that one's squared norm: the mean."""
    apart = (found - wanted).square().flatten(1).sum(1)
    return (apart / wanted.square().flatten(1).sum(1)).mean()
