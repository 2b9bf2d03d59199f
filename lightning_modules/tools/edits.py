"""Sheets of edited images, uint8 [rows, columns, C, H, W]: ways between codes, truncation, mixed styles, traversals."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lightning_modules.tools.spaces import Space, WPlusSpace, ZSpace


def between(space: Space, a: Tensor, b: Tensor, columns: int) -> Tensor:
    """Rows from ``a`` [N, ...] to ``b``: in z on the noise's own way, a great circle if it is normal; else straight."""
    shares = torch.linspace(0, 1, columns).tolist()
    if isinstance(space, ZSpace):
        codes = [space.G.latent.between(a, b, share) for share in shares]
    else:
        codes = [torch.lerp(a, b, share) for share in shares]
    return sheet(space, torch.stack(codes, 1))


def truncated(space: Space, codes: Tensor, shares: Sequence[float]) -> Tensor:
    """Rows of ``codes`` [N, ...] drawn towards the mean code, which they are at a share of 0 (Marchesi 2017)."""
    middle = space.middle()
    return sheet(space, torch.stack([torch.lerp(middle, codes, share) for share in shares], 1))


def traversals(space: Space, code: Tensor, vectors: Tensor, reach: float, columns: int) -> Tensor:
    """A row for each of ``vectors`` [k, dim], from ``code`` [1, ...] - ``reach`` times it to + ``reach`` times it."""
    steps = torch.linspace(-reach, reach, columns, device=code.device)
    moves = vectors.to(code)[:, None] * steps[:, None]  # [k, columns, dim]
    if isinstance(space, WPlusSpace):
        moves = moves[:, :, None]
    return sheet(space, code[None] + moves)


def mixed(space: WPlusSpace, coarse: Tensor, fine: Tensor, layers: Sequence[int]) -> Tensor:
    """``coarse`` [N, num_styles, w_dim] a row each, with the ``layers`` of each of ``fine`` [M, ...] a column each.

    So style mixing and pasting of single layers (Karras et al. 2019, section 3.1).

    Raises:
        ValueError: a layer that there is not.
    """
    styles = space.styled.num_styles
    wrong = [layer for layer in layers if not 0 <= layer < styles]
    if wrong or not layers:
        raise ValueError(f"layers {list(layers)}: this generator has 0 to {styles - 1}")
    codes = coarse[:, None].repeat(1, len(fine), 1, 1)
    codes[:, :, list(layers)] = fine[None, :, list(layers)]
    return sheet(space, codes)


def variations(space: Space, code: Tensor, n: int, strength: float) -> Tensor:
    """One row of ``n`` images near that of ``code`` [1, ...]: a share ``strength`` of the way to drawn codes."""
    return sheet(space, torch.lerp(code, space.draw(n), strength)[None])


def sheet(space: Space, codes: Tensor) -> Tensor:
    """The pictures of ``codes`` [rows, columns, ...]."""
    return space.pictures(codes.flatten(0, 1)).unflatten(0, (codes.shape[0], codes.shape[1]))
