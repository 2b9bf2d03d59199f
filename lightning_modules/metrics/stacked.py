"""An extractor of gray images on images whose channels are each an image of their own, as in Stacked-MNIST.

Metz et al. 2017 stack three random digits as the colours of one image, and count which of the 1000 triples a generator
reaches by the classes of its channels. The published tables each have a classifier of their own; ours is named.
"""

from collections.abc import Sequence

from torch import Tensor

from lightning_modules.metrics.base import Extractor, Features, spell

PREFIX = "stacked-"
CHANNELS = 3
MOST_MODES = 10_000  # their logits are held for every sample of a batch


class Stacked(Extractor):
    """Looks at each of three channels by itself; its classes are the triples of classes, 1000 of ten.

    The features are those of the channels, one after the other. A triple's logit is the sum of its channels' logits:
    their softmax is the product of the channels' probabilities, as of independent looks, and the largest belongs to the
    triple of the largest. Of ten classes (a, b, c) is number a + 10 b + 100 c.

    Args:
        inner: looks at one channel.

    Raises:
        ValueError: if ``inner`` has no classes of the data, or too many.
    """

    def __init__(self, inner: Extractor) -> None:
        super().__init__()
        if inner.num_classes is None or not inner.own_classes or inner.num_classes**CHANNELS > MOST_MODES:
            raise ValueError(
                f"The extractor {PREFIX}{inner.name} would need a classifier of the data with at most "
                f"{MOST_MODES:,} triples of classes, which {inner.name} is not: choose another with "
                "evaluation.extractor."
            )
        self.inner = inner
        self.name, self.sha256, self.precision = PREFIX + inner.name, inner.sha256, inner.precision
        self.facts = inner.facts
        self.dim, self.num_classes, self.own_classes = CHANNELS * inner.dim, inner.num_classes**CHANNELS, True

    def fit(self, shape: Sequence[int]) -> str:
        """Images of three channels, each of which fits the extractor of one."""
        if len(shape) != 3 or shape[0] != CHANNELS:
            raise ValueError(
                f"The extractor {self.name} looks at each of {CHANNELS} channels, these are {spell(shape)}: choose "
                "another with evaluation.extractor."
            )
        return self.inner.fit((1, *shape[1:]))

    def extract(self, image: Tensor) -> Features:
        """Look at the channels as one batch."""
        seen = self.inner.extract(image.flatten(0, 1)[:, None])
        assert seen.logits is not None
        # In float64 the sum of three rounds nothing away that would turn one triple's lead into a tie.
        first, second, third = seen.logits.double().unflatten(0, (-1, CHANNELS)).unbind(1)
        triples = third[:, :, None, None] + second[:, None, :, None] + first[:, None, None, :]
        return Features(seen.features.reshape(len(image), self.dim), triples.flatten(1))
