"""Between floats in a value range and 8-bit images: one rounding rule for the whole house."""

import torch
from torch import Tensor

ValueRange = tuple[float, float]

UNIT: ValueRange = (0.0, 1.0)  # restoration's


def to_uint8(x: Tensor, value_range: ValueRange = (-1.0, 1.0)) -> Tensor:
    """Quantise ``x`` [...] in ``value_range`` to uint8: clamp, scale to [0, 255], round half to even.

    Values outside the range are clamped. NaN has no byte: it becomes 0.
    """
    low, high = value_range
    scaled = (x.float() - low) * (255.0 / (high - low))
    return scaled.nan_to_num(0.0).clamp_(0.0, 255.0).round_().to(torch.uint8)


def from_uint8(image: Tensor, value_range: ValueRange = (-1.0, 1.0)) -> Tensor:
    """Map uint8 ``image`` [...] to float32 in ``value_range``: 0 to its lower end, 255 to its upper."""
    low, high = value_range
    return image.float().mul_((high - low) / 255.0).add_(low)


def check_unit(image: Tensor, name: str) -> None:
    """Accept floats in [0, 1].

    Raises:
        ValueError: for other types, for NaN, and for values out of range.
    """
    if not image.is_floating_point():
        raise ValueError(f"The {name} is {image.dtype}: give uint8, or floats in [0, 1].")
    if not image.isfinite().all():
        raise ValueError(f"The {name} has pixels that are NaN or infinite: no score says anything about them.")
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
        raise ValueError(
            f"The {name}'s floats reach from {low:.4g} to {high:.4g}: give uint8, or floats in [0, 1], clamped."
        )
