"""Distances of layout and patches between pictures."""

import pytest
import torch

from lightning_modules.metrics.patches import layout_distance, patch_distance


def test_distances_by_hand() -> None:
    torch.manual_seed(0)
    photo = torch.randint(0, 256, (1, 3, 20, 22), dtype=torch.uint8)
    assert patch_distance(photo[:, :, 2:17, 3:18], photo).item() == 0
    assert layout_distance(photo, photo).item() == 0
    flat = torch.full((1, 3, 7, 7), 10, dtype=torch.uint8)
    assert patch_distance(flat, torch.full_like(photo, 13)).item() == pytest.approx(3)
    noise = torch.randint(0, 256, (2, 3, 20, 22), dtype=torch.uint8)
    slow = [
        torch.stack(
            [
                min(
                    (noise[n, :, i : i + 7, j : j + 7].float() - photo[0, :, k : k + 7, m : m + 7])
                    .square()
                    .mean()
                    .sqrt()
                    for k in range(14)
                    for m in range(16)
                )
                for i in range(0, 14, 4)
                for j in range(0, 16, 4)
            ]
        ).mean()
        for n in range(2)
    ]
    assert torch.allclose(patch_distance(noise, photo), torch.stack(slow), atol=1e-3)
