"""Which pixels speak for a verdict: of a classifier for a class, of a discriminator for "real". By captum.

- Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2): the maps of a layer, weighed by their mean gradients, without what
  speaks against.
- Integrated gradients (Sundararajan et al. 2017, eq. 1) from a black image.
- LIME (Ribeiro et al. 2016, section 3.4): a linear model of squares that are there or blurred, one weight a square.

Each gives its relevance [N, H, W]; ``deletion`` tells what it is worth (Petsiuk et al. 2018, section 3.2).
"""

from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from datamodules.functional.quantise import ValueRange
from lightning_modules.networks.base import Classifier, Discriminator

SQUARES = 8  # along each side of an image, for LIME
SAMPLES = 512  # of LIME, each image
STEPS = 50  # of the integral


class Verdicts(nn.Module):
    """A classifier's logits [N, K], or a discriminator's, the mean over its patches, [N, 1].

    Args:
        net: which.
        label: the class that a discriminator judges under, where it knows classes.
    """

    def __init__(self, net: Classifier | Discriminator, label: int | None = None) -> None:
        super().__init__()
        self.net, self.label = net, label

    def forward(self, x: Tensor) -> Tensor:
        """Of ``x`` [N, C, H, W]."""
        if isinstance(self.net, Classifier):
            return self.net(x)
        y = None if self.label is None else torch.full((len(x),), self.label, device=x.device)
        return self.net(x, y).reshape(len(x), -1).mean(1, keepdim=True)


def require_captum() -> None:
    """Raise ValueError where it is not installed."""
    if find_spec("captum") is None:
        raise ValueError("this needs captum: pip install 'lightning-atelier[explain]'")


def grad_cam(verdicts: Verdicts, layer: nn.Module, x: Tensor, targets: Tensor) -> Tensor:
    """Relevance for ``targets`` [N] of ``x`` [N, C, H, W] by the maps of ``layer``, enlarged: [N, H, W], 0 and more.

    Raises:
        ValueError: the layer puts out no maps.
    """
    require_captum()
    from captum.attr import LayerGradCam

    found = LayerGradCam(verdicts, layer).attribute(x, targets, relu_attributions=True)
    if found.ndim != 4:
        raise ValueError("Grad-CAM weighs maps, and this layer puts out none: take one before them")
    return interpolate(found.detach(), x.shape[2:], mode="bilinear", align_corners=False)[:, 0]


def integrated_gradients(verdicts: Verdicts, x: Tensor, targets: Tensor, value_range: ValueRange) -> Tensor:
    """Relevance [N, H, W], summed over channels; over an image it sums to its score less that of a black one."""
    require_captum()
    from captum.attr import IntegratedGradients

    black = torch.full_like(x, value_range[0])
    found = IntegratedGradients(verdicts).attribute(
        x, black, targets, n_steps=STEPS, internal_batch_size=max(STEPS, len(x))
    )
    return found.detach().sum(1).float()


def lime(verdicts: Verdicts, x: Tensor, targets: Tensor, squares: int = SQUARES) -> Tensor:
    """Relevance [N, H, W], alike in each of ``squares`` x ``squares`` squares; draws from the global random stream."""
    require_captum()
    from captum._utils.models.linear_model import SkLearnLasso
    from captum.attr import Lime

    H, W = x.shape[2:]
    rows, columns = (torch.arange(side, device=x.device) * squares // side for side in (H, W))
    mask = (rows[:, None] * squares + columns).expand(1, 1, H, W)
    explainer = Lime(verdicts, interpretable_model=SkLearnLasso(alpha=0.001))
    found = [
        explainer.attribute(
            image, blurred(image), target, feature_mask=mask, n_samples=SAMPLES, perturbations_per_eval=64
        )
        for image, target in zip(x.split(1), targets.tolist(), strict=True)
    ]
    return torch.cat(found).detach()[:, 0]


@torch.no_grad()
def deletion(
    verdicts: Verdicts, x: Tensor, targets: Tensor, relevance: Tensor, share: float = 0.1
) -> tuple[float, float]:
    """Mean fall of the score when a ``share`` of the pixels is blurred: of the most relevant, and of random ones."""
    gone, count = blurred(x), max(1, int(share * relevance[0].numel()))
    before = score(verdicts, x, targets)

    def fall(order: Tensor) -> float:
        kept = torch.ones_like(order).scatter_(1, order.topk(count).indices, 0).view(len(x), 1, *x.shape[2:]).to(x)
        return float((before - score(verdicts, torch.lerp(gone, x, kept), targets)).mean())

    flat = relevance.flatten(1).float()
    return fall(flat), fall(torch.rand_like(flat))


def blurred(x: Tensor) -> Tensor:
    """``x`` [N, C, H, W] without its detail: means over a quarter of the shorter side."""
    side = min(x.shape[2:]) // 4 | 1
    return avg_pool2d(x, side, 1, side // 2, count_include_pad=False)


def score(verdicts: Verdicts, x: Tensor, targets: Tensor) -> Tensor:
    """Of each of ``x`` [N, C, H, W] for its target: [N]."""
    return verdicts(x).gather(1, targets[:, None])[:, 0]


def heat(relevance: Tensor) -> Tensor:
    """``relevance`` [N, H, W] as colours, uint8 [N, 3, H, W]: red speaks for, blue against, white is 0."""
    level = relevance / relevance.flatten(1).abs().amax(1).clamp_min(1e-12)[:, None, None]
    rest = 1 - level.abs()
    colours = torch.stack([torch.where(level > 0, 1.0, rest), rest, torch.where(level < 0, 1.0, rest)], 1)
    return (255 * colours).round().to(torch.uint8)
