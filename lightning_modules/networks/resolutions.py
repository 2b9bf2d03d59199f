"""Resolutions by powers of two, as ProGAN and the StyleGANs have them, and how many feature maps each has."""

from typing import NamedTuple

SMALLEST, LARGEST = 4, 1024  # px


class Widths(NamedTuple):
    """How many feature maps a resolution has.

    Args:
        base: their number times the resolution; 32,768 is the published one, half of it below 512 px in ``auto``.
        most: the greatest number.
    """

    base: int = 32768
    most: int = 512

    def at(self, side: int) -> int:
        """The number at ``side`` px."""
        return max(1, min(self.base // side, self.most))


def levels(size: int) -> list[int]:
    """The resolutions from 4 px to ``size``.

    Raises:
        ValueError: ``size`` is no power of two from 4 to 1024.
    """
    found = [SMALLEST * 2**i for i in range((LARGEST // SMALLEST).bit_length())]
    if size not in found:
        raise ValueError(f"size is {size}: give 4, 8, 16, ... 1024 px")
    return found[: found.index(size) + 1]
