"""Networks that put pictures into a style at once: one style each (Johnson et al.), or any (Huang and Belongie).

``FastStyle``, "Perceptual losses for real-time style transfer and super-resolution" (2016, section 3): a network
learns to make of any picture what optimising its pixels would. ``AdaptiveStyle``, "Arbitrary style transfer in
real-time with adaptive instance normalization" (2017): features of a content are given the means and deviations of a
style's, and a decoder learns to make pictures of features.
"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d
from torch.optim import Adam

from datamodules.functional.statistics import adain, moments
from lightning_modules.base import OptimizerCallable
from lightning_modules.contract import StatesItsData
from lightning_modules.evaluating import evaluating
from lightning_modules.losses.style import Content, MomentStyle, StyleTerm
from lightning_modules.networks.base import FeatureMaps, Network
from lightning_modules.restoring import Restoring
from lightning_modules.styling import Styling


@runtime_checkable
class HasStyles(Protocol):
    """What a data module says of the styles that it trains on."""

    whole_styles: Tensor  # [K, 3, h, w] in [0, 1]


class FastStyle(Styling, Restoring):
    """A network from a picture to the same in one style; ``atelier translate`` applies it.

    Args:
        network: y -> x, in [0, 1].
        features: whose layers the terms look at.
        optimizer: of the network.
        **styling: the arguments of ``Styling``.

    Raises:
        ValueError: as the base; before the first step, data of several styles, or patches too small for ``features``.
    """

    def __init__(
        self,
        network: Network,
        features: FeatureMaps,
        optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-3),
        **styling: Any,
    ) -> None:
        super().__init__(features, optimizer=optimizer, **styling)
        self.network = network
        self.average(network)
        self._style: dict[int, list[Tensor]] | None = None  # what the style terms want: computed once

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.network

    def check_data(self, data: StatesItsData) -> None:
        """The base's; then there must be one style, and patches large enough."""
        super().check_data(data)
        if not isinstance(data, HasStyles) or len(data.whole_styles) != 1:
            raise ValueError("FastStyle learns one style: set data.init_args.styles to one file")
        self.check_size(data.out_shape, "data.init_args.patch")

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Each term on the network's pictures of ``x`` [N, 3, H, W]; the style is the data's one, whatever ``y``."""
        with torch.no_grad():
            content = self.features(x)
            if self._style is None:
                whole = self.trainer.datamodule.whole_styles  # type: ignore[attr-defined]
                self._style = self.wanted_of(self.features(whole.to(self.device)), style=True)
        wanted = self._style | self.wanted_of(content, style=False)
        return self.judge(self.network(x), [wanted[i] for i in range(len(wanted))])

    def inputs(self, x: Tensor, y: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        """What of a batch the network is given: the content."""
        return (x,)

    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """The network's picture of the content [N, 3, H, W]."""
        return Restoring.restore(self, batch)


def in_style(content: Tensor, style: Tensor) -> Tensor:
    """``adain`` of maps [N, C, h, w] to the moments of ``style``: float32, as half precision rounds sums."""
    with torch.autocast(content.device.type, enabled=False):
        return adain(content.float(), moments(style.float()))


class AdaptiveStyle(Styling):
    """A decoder of features whose means and deviations are those of any style.

    Args:
        decoder: feature maps -> x, in [0, 1].
        features: the encoder, which is not trained.
        terms: one ``MomentStyle``, and one ``Content`` of the one layer that is decoded.
        optimizer: of the decoder.
        **styling: the arguments of ``Styling``.

    Raises:
        ValueError: as the base, or other terms.
    """

    def __init__(
        self,
        decoder: Network,
        features: FeatureMaps,
        optimizer: OptimizerCallable = lambda p: Adam(p, lr=1e-4),
        **styling: Any,
    ) -> None:
        super().__init__(features, optimizer=optimizer, **styling)
        contents = [term for term in self.feature_terms if isinstance(term, Content)]
        styles = [term for term in self.feature_terms if isinstance(term, StyleTerm)]
        if len(contents) != 1 or len(contents[0].layers) != 1 or not all(isinstance(s, MomentStyle) for s in styles):
            raise ValueError(
                "AdaptiveStyle has one MomentStyle, and one Content of the one layer that is decoded: set its terms so"
            )
        (self.layer,) = contents[0].layers
        self.decoder = decoder
        self.average(decoder)

    @property
    def factor(self) -> int:
        """By how much the decoded layer is smaller than the picture: sides are multiples of it."""
        side = 64
        found: int = self.features(torch.zeros(1, 3, side, side, device=self.device))[self.layer].shape[-1]
        return -(-side // found)

    @property
    def net(self) -> nn.Module:
        """The decoder."""
        return self.decoder

    def check_data(self, data: StatesItsData) -> None:
        """The base's; then patches must be large enough, and come back at their size."""
        super().check_data(data)
        self.check_size(data.out_shape, "data.init_args.patch")
        x = torch.zeros(1, *data.out_shape, device=self.device)
        with evaluating(self.decoder):
            found = tuple(self.decoder(self.features(x)[self.layer]).shape[1:])
        if found != tuple(data.out_shape):
            raise ValueError(
                f"the decoder makes {list(found)} of the layer {self.layer} of {list(data.out_shape)}: set its "
                "channels and enlarge to mirror the encoder, and the patch to a multiple of what that shrinks by"
            )

    def terms(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """Each term on pictures of the contents ``x`` [N, 3, H, W] in the styles ``y``; their content is what is
        decoded."""
        with torch.no_grad():
            content, style = self.features(x), self.features(y)
            maps = in_style(content[self.layer], style[self.layer]).to(content[self.layer])
        return self.judge(self.decoder(maps), self.wanted(content | {self.layer: maps}, style))

    def restore(self, batch: Sequence[Tensor]) -> Tensor:
        """The picture of a content in its styles [1, K, 3, h, w], mixed alike, where the guide shows them."""
        x, y, guide = batch
        return self.transfer(x, list(y.unbind(1)), guide=guide)

    def targets(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """What is decoded of the same (Huang and Belongie 2017, eq. 12)."""
        x, y, guide = batch
        return {self.layer: self.mixed(x, list(y.unbind(1)), guide=guide)}

    def transfer(
        self,
        x: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float] | None = None,
        strength: float = 1.0,
        guide: Tensor | None = None,
    ) -> Tensor:
        """Pictures of ``x`` [N, 3, H, W] in ``styles``, each [N or 1, 3, h, w] (Huang and Belongie 2017, section 7.3).

        Args:
            weights: of the styles, summing to 1; all alike unless given.
            strength: 0 is the decoder's reconstruction of the content, 1 the style.
            guide: [N, 1, H, W], where the style is; elsewhere it is the reconstruction. Everywhere unless given.

        Returns:
            [N, 3, H', W'] in [0, 1], of the size of ``x`` where the encoder's factor divides it.
        """
        with evaluating(self.evaluated) as decoder:
            picture: Tensor = decoder(self.mixed(x, styles, weights, strength, guide))
        return picture.clamp(*self.value_range)

    @torch.no_grad()
    def mixed(
        self,
        x: Tensor,
        styles: Sequence[Tensor],
        weights: Sequence[float] | None = None,
        strength: float = 1.0,
        guide: Tensor | None = None,
    ) -> Tensor:
        """Maps [N, C, h, w] of what ``transfer`` decodes, of its arguments."""
        content = self.features(x)[self.layer]
        shares = [1 / len(styles)] * len(styles) if weights is None else weights
        mixed = torch.zeros_like(content, dtype=torch.float32)
        for share, style in zip(shares, styles, strict=True):
            mixed += share * in_style(content, self.features(style)[self.layer])
        where: Tensor | float = strength
        if guide is not None:
            where = strength * adaptive_avg_pool2d(guide.to(mixed), (content.shape[2], content.shape[3]))
        return torch.lerp(content.float(), mixed, torch.as_tensor(where).to(mixed)).to(content)
