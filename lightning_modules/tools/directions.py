"""Directions in a generator's space along which its images change in one respect.

- ``sefa``: what changes the layers' styles most, from the weights alone (Shen and Zhou 2021, "Closed-form factorization
  of latent semantics in GANs", eq. 5): eigenvectors of A^T A, each style's row of A of length 1 as in the paper's code.
- ``ganspace``: where drawn codes spread most (Haerkoenen et al. 2020, "GANSpace", section 2.1): principal components.
- ``attribute``: what parts codes with a property from those without (Shen et al. 2020, "Interpreting the latent space
  of GANs", section 2.1): the normal of a linear separator.
- ``towards_mean``: from the mean of the codes without a property to that of those with it, which is the normal of a
  separator too, of the nearest mean. It parts codes less well, and a step along it keeps nearer to drawn ones.
"""

from typing import NamedTuple

import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from lightning_modules.networks.base import StyledGenerator
from lightning_modules.tools.spaces import Space, WPlusSpace


class Directions(NamedTuple):
    """Unit vectors, the strongest first."""

    vectors: Tensor  # [k, dim]
    strengths: Tensor  # [k]: eigenvalue, deviation of codes, or accuracy


def sefa(G: StyledGenerator, k: int) -> Directions:
    """``k`` directions of w that change what all layers make of it most.

    Raises:
        ValueError: w has fewer dimensions, or ``k`` is below 1.
    """
    A = torch.cat([weight / weight.norm(dim=1, keepdim=True).clamp_min(1e-12) for weight in G.affine_weights()])
    require(k, A.shape[1])
    values, vectors = torch.linalg.eigh((A.T @ A).double())
    return Directions(vectors.T.flip(0)[:k].to(A), values.flip(0)[:k].to(A))


def ganspace(space: Space, k: int, codes: int = 10_000) -> Directions:
    """``k`` principal components of drawn ``codes``; of a z that is drawn evenly they say nothing.

    Raises:
        ValueError: as ``sefa``; or a space of a code for each layer.
    """
    if isinstance(space, WPlusSpace):
        raise ValueError("components of w+ are those of w: take that space")
    drawn = space.draw(codes).double()
    require(k, drawn.shape[1])
    _, deviations, vectors = torch.linalg.svd(drawn - drawn.mean(0), full_matrices=False)
    return Directions(vectors[:k].float(), (deviations[:k] / (codes - 1) ** 0.5).float())


def attribute(codes: Tensor, has: Tensor) -> Directions:
    """The one direction towards ``codes`` [N, dim] of which ``has`` (bool [N]) is true, with the separator's accuracy.

    Raises:
        ValueError: all codes have it, or none.
    """
    require_both(has)
    fitted = LogisticRegression(max_iter=1000, class_weight="balanced").fit(codes.cpu().numpy(), has.cpu().numpy())
    normal = torch.as_tensor(fitted.coef_, dtype=codes.dtype, device=codes.device)
    accuracy = fitted.score(codes.cpu().numpy(), has.cpu().numpy())
    return Directions(normal / normal.norm(), torch.tensor([accuracy]))


def towards_mean(codes: Tensor, has: Tensor) -> Directions:
    """The one direction to the mean of those ``codes`` [N, dim] of which ``has`` (bool [N]) is true, and how many of
    all lie on the right side of the middle between both means.

    Raises:
        ValueError: all codes have it, or none.
    """
    require_both(has)
    without, with_it = codes[~has].mean(0), codes[has].mean(0)
    vector = with_it - without
    right = ((codes - (with_it + without) / 2) @ vector > 0) == has
    return Directions((vector / vector.norm())[None], right.float().mean()[None])


def require_both(has: Tensor) -> None:
    """Raise ValueError where ``has`` (bool [N]) is true of all, or of none."""
    share = float(has.float().mean())
    if share in (0.0, 1.0):
        raise ValueError(f"{'all' if share else 'none'} of {len(has)} codes have it: nothing to part them by")


def require(k: int, dimensions: int) -> None:
    """Raise ValueError where there are no ``k`` directions."""
    if not 1 <= k <= dimensions:
        raise ValueError(f"{k} directions are asked for: give 1 up to {dimensions}")
