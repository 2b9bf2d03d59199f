"""Regularisers that look at the noise that fakes are made of."""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from lightning_modules.losses.regularisers import Regulariser, Scene, check_weights


class LatentConsistency(Regulariser):
    """Noise nearby: D says the same of its images, G makes them differ (zCR, Zhao et al. 2021, algorithm 3).

    D is shown G(z') as it is, also where ``augment`` changes what else it sees; the paper has no such changes.

    Args:
        d_weight: of (D(G(z)) - D(G(z')))^2.
        g_weight: of the mean square of G(z) - G(z'), which G enlarges.
        radius: deviation of z' - z in each dimension.
    """

    name, reads_noise, asks_g = "latent_consistency", True, True

    def __init__(self, d_weight: float = 20.0, g_weight: float = 0.5, radius: float = 0.05) -> None:
        super().__init__()
        check_weights(self, d_weight=d_weight, g_weight=g_weight, radius=radius)
        self.d_weight, self.g_weight, self.radius = d_weight, g_weight, radius

    def nearby(self, scene: Scene) -> Tensor:
        """G(z')."""
        assert scene.z is not None
        assert scene.G is not None
        return scene.G(scene.z + self.radius * torch.randn_like(scene.z))

    def d(self, scene: Scene, step: int) -> Tensor:
        """d_weight times D's change."""
        with torch.no_grad():
            nearby = self.nearby(scene)
        return self.d_weight * mse_loss(scene.D(nearby, scene.y_fake).logits, scene.fake.logits)

    def g(self, scene: Scene) -> Tensor:
        """-g_weight times the images' change."""
        assert scene.images is not None
        return -self.g_weight * mse_loss(self.nearby(scene), scene.images)


class MutualInformation(Regulariser):
    """D's second head tells the code that an image was made of (InfoGAN, Chen et al. 2016, eq. 5 and 6).

    The code is the beginning of z: a one-hot category, then numbers; both players make it legible. Its two parts are
    drawn by ``networks.latents.Coded``. Numbers are judged by a normal distribution of deviation 1.

    Args:
        categories: of the one-hot code; 0 for none.
        numbers: how many there are.
        weight: lambda of the category.
        number_weight: lambda of the numbers, smaller as section 7 has it.
    """

    name, reads_noise = "information", True

    def __init__(self, categories: int = 10, numbers: int = 2, weight: float = 1.0, number_weight: float = 0.1) -> None:
        super().__init__()
        check_weights(self, categories=categories, numbers=numbers, weight=weight, number_weight=number_weight)
        if categories + numbers == 0:
            raise ValueError("MutualInformation: there is no code: give categories or numbers")
        self.categories, self.numbers, self.outputs = categories, numbers, categories + numbers
        self.weight, self.number_weight, self.code = weight, number_weight, (categories, numbers)

    def d(self, scene: Scene, step: int) -> Tensor:
        """What the head still gets wrong, on fakes."""
        return self.wrong(scene)

    def g(self, scene: Scene) -> Tensor:
        """The same."""
        return self.wrong(scene)

    def wrong(self, scene: Scene) -> Tensor:
        """weight * -log P(category | G(z)) + number_weight / 2 * squared errors of the numbers."""
        assert scene.z is not None
        said, z = scene.fake.classes, scene.z
        term = said.new_zeros(())
        if self.categories:
            term = self.weight * cross_entropy(said[:, : self.categories], z[:, : self.categories].argmax(dim=1))
        if self.numbers:
            errors = said[:, self.categories :] - z[:, self.categories : self.outputs]
            term = term + self.number_weight / 2 * errors.square().sum(dim=1).mean()
        return term
