"""Packing (Lin et al. 2018, section 2): D judges m samples at once, and so sees whether they are too much alike.

``Packed`` goes around any discriminator made for m times the channels (or for points m times as long). The batch is m
times larger than without, as in the paper, so that D makes as many judgements. Samples are packed in the order in which
they come, which in a training batch is random.

Labels are not handed on, since a pack mixes classes: where D is conditional they travel as planes of the samples, by a
``ConcatDiscriminator`` around this one. Augmentations change single samples. R1 and R2 take the gradient of a logit in
its whole pack. Deviation: the gradient penalty and DRAGAN draw a mixing factor for each sample, not for each pack.
"""

from torch import Tensor, nn

from lightning_modules.networks.base import Discriminator


class Packed(Discriminator):
    """m samples side by side -> the inner discriminator.

    Args:
        discriminator: its channels (or the numbers of its points) are those of ``m`` samples.
        m: samples in a pack; 1 is the inner discriminator itself.
    """

    blocks_take_images = False

    def __init__(self, discriminator: Discriminator, m: int = 2) -> None:
        super().__init__()
        if m < 1:
            raise ValueError(f"Packed: m must be 1 or more, got {m}")
        if discriminator.num_classes is not None:
            raise ValueError("Packed: a pack has no label of its own: put the ConcatDiscriminator around Packed")
        self.discriminator, self.m = discriminator, m
        self.pack_size = m

    @property
    def blocks(self) -> nn.Sequential:  # type: ignore[override]  # registered once, by the inner one
        """The inner one's."""
        return self.discriminator.blocks

    @property
    def head(self) -> nn.Conv2d | nn.Linear:  # type: ignore[override]
        """The inner one's."""
        return self.discriminator.head

    def pack(self, x: Tensor) -> Tensor:
        """``x`` [N, C, ...] as [N / m, m C, ...].

        Raises:
            ValueError: N is no multiple of m.
        """
        if len(x) % self.m:
            raise ValueError(f"{len(x)} samples are no packs of {self.m}: make batch_size (and micro_batch) a multiple")
        return x.unflatten(0, (-1, self.m)).flatten(1, 2)

    def features(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """What the head judges of the packs of ``x`` [N, C, ...]: [N / m, ...]."""
        return self.discriminator.features(self.pack(x))

    def verdict(self, features: Tensor, y: Tensor | None = None) -> Tensor:
        """The inner one's of ``features``: [N / m]."""
        return self.discriminator.verdict(features)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """``x`` [N, C, ...] to the logits [N / m] of its packs; ``y`` is not used."""
        return self.discriminator(self.pack(x))
