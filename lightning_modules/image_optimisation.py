"""A picture found by gradient descent on its own pixels: texture synthesis and style transfer of Gatys et al.

    image* = argmin  sum of terms on what a network that is not trained sees in it

"Texture synthesis using convolutional neural networks" (2015): style terms alone, and any size. "Image style transfer
using convolutional neural networks" (2016, eq. 7): a content term beside them, whose weight is the strength. Of several
styles the targets are mixed, each by its weight. Where the data has a guide the style is taken inside it alone, and the
picture is the content outside of it.

Deviations: Adam unless ``torch.optim.LBFGS`` is given, which is the papers' and looks many times in a step; terms are
means (``losses/style.py``): weights hang neither on sizes nor on layers; values are kept in [0, 1] after each step.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from datamodules.functional.quantise import to_uint8
from lightning_modules.base import OptimizerCallable
from lightning_modules.contract import StatesItsData
from lightning_modules.losses.style import Content, StyleTerm
from lightning_modules.networks.base import FeatureMaps, Network
from lightning_modules.styling import Styling


class ImageOptimisation(Styling):
    """An image, its terms, and the network through whose eyes they look.

    Args:
        pixels: the image, which is its own weights.
        features: whose layers the terms look at.
        style_weights: of each of the data's styles, made to sum to 1; all alike unless given.
        from_content: begin with the content and not with noise.
        optimizer: of the pixels.
        **styling: the arguments of ``Styling``, but for ``ema``.

    Raises:
        ValueError: as the base, or an average that is asked for; before the first step, an image of another size than
            the content, or too small for the network, or not one weight for each style.
    """

    answer_is_trained = True

    def __init__(
        self,
        pixels: Network,
        features: FeatureMaps,
        style_weights: Sequence[float] | None = None,
        from_content: bool = False,
        optimizer: OptimizerCallable = lambda p: Adam(p, lr=2e-2),
        **styling: Any,
    ) -> None:
        super().__init__(features, optimizer=optimizer, **styling)
        if self.ema_settings is not None:
            raise ValueError("ema: an image that is optimised has no average: omit it")
        self.pixels, self.style_weights, self.from_content = pixels, style_weights, from_content
        self._wanted: list[list[Tensor]] | None = None

    @property
    def net(self) -> nn.Module:
        """The image."""
        return self.pixels

    def check_data(self, data: StatesItsData) -> None:
        """The base's; then a content must be of the image's size."""
        super().check_data(data)
        shape = tuple(self.pixels().shape[1:])
        keeps = any(isinstance(term, Content) for term in self.feature_terms) or self.from_content
        if keeps and tuple(data.out_shape) != shape:
            raise ValueError(
                f"the image is {list(shape)}, the content {list(data.out_shape)}: set size of model.init_args.pixels "
                f"to {list(data.out_shape[1:])}"
            )
        self.check_size(shape, "size of model.init_args.pixels")

    def on_fit_start(self) -> None:
        """Begin with the content where that is asked, unless the run goes on."""
        super().on_fit_start()
        if self.from_content and not self._resumed:
            ((x, *_),) = self.held_out(1)
            self.pixels().data.copy_(x)

    def terms(self, x: Tensor, y: Tensor, *parts: Tensor) -> dict[str, Tensor]:
        """Each term on the image, beside the content ``x`` and the styles ``y`` [1, K, 3, h, w], under the guide."""
        if self._wanted is None:
            self._wanted = self.mixed(self.wanted(self.features(x[:1]), self.features(y[0])), y.shape[1])
        image, (guide,) = self.pixels(), parts
        return self.judge(image, self._wanted, guide[:1] if guide.shape[2:] == image.shape[2:] else None)

    def mixed(self, wanted: list[list[Tensor]], styles: int) -> list[list[Tensor]]:
        """``wanted`` with one target a layer for all styles, each by its weight.

        Raises:
            ValueError: not one weight for each style, or none above 0.
        """
        weights = torch.tensor([1.0] * styles if self.style_weights is None else list(self.style_weights))
        if len(weights) != styles or (weights < 0).any() or not weights.sum():
            raise ValueError(
                f"style_weights are {weights.tolist()} for {styles} styles: give one for each, 0 or more, not all 0"
            )
        share = (weights / weights.sum()).to(self.device)
        return [
            [torch.tensordot(share, each, dims=1)[None] for each in targets] if isinstance(term, StyleTerm) else targets
            for term, targets in zip(self.feature_terms, wanted, strict=True)
        ]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """The base's; then keep the values that an image can have."""
        super().optimizer_step(*args, **kwargs)
        self.pixels().data.clamp_(*self.value_range)

    @torch.no_grad()
    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """The picture [1, 3, H, W]: the image, and the content where the guide shows no style."""
        x, _, guide = batch
        image: Tensor = self.pixels().detach().clone()
        return torch.lerp(x, image, guide) if x.shape == image.shape else image

    def panels(self) -> dict[str, Tensor]:
        """The base's, and ``picture``: it alone, uint8 [1, 3, H, W]."""
        (batch,) = self.held_out(1)
        return super().panels() | {"picture": to_uint8(self.restore(batch), self.value_range)}
