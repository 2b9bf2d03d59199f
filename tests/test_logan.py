"""Laws of LOGAN: one step by hand, and what learns of it."""

from pathlib import Path

import pytest
import torch
from resuming import ends_alike
from torch import Tensor, nn
from toys import LinearCritic, batches, dcgans

from datamodules.digits import Digits
from lightning_modules.logan import LOGAN, Ascent, ImprovedGenerator
from lightning_modules.networks.base import Generator
from lightning_modules.networks.latents import Uniform
from lightning_modules.tools.inversion import invert
from lightning_modules.tools.layers import layer_names, output_of
from lightning_modules.tools.spaces import ZSpace


def logan(**settings: float) -> LOGAN:
    G, D = dcgans(batch_norm=False)
    G.latent = Uniform()
    return LOGAN(G, D, **settings)  # type: ignore[arg-type]


def score(z: Tensor) -> Tensor:
    return z @ torch.tensor([3.0, -4.0])


def test_a_step_by_hand() -> None:
    """The gradient is (3, -4), of square 25: a step of .9 / 25.1 of it; far ones end at the border."""
    z = torch.tensor([[0.0, 0.5], [0.99, -0.99]])
    found = Ascent()(score, z, 1, 1.0, False)
    assert torch.allclose(found, torch.tensor([[2.7 / 25.1, 0.5 - 3.6 / 25.1], [1.0, -1.0]]))
    assert torch.allclose(Ascent()(score, z[:1], 2, 1.0, False), torch.tensor([[5.4 / 25.1, 0.5 - 7.2 / 25.1]]))


def test_a_share_of_the_dimensions_moves() -> None:
    torch.manual_seed(0)
    moved = Ascent()(score, torch.zeros(4000, 2), 1, 0.3, False) != 0
    assert moved.float().mean().item() == pytest.approx(0.3, abs=0.02)


def test_gradients_pass_through_the_steps_where_asked_to() -> None:
    weight = torch.tensor([3.0, -4.0], requires_grad=True)
    found = Ascent()(lambda z: z @ weight, torch.zeros(1, 2), 1, 1.0, True)
    (gradient,) = torch.autograd.grad(found[0, 0], weight)
    w, b = torch.tensor([3.0, -4.0]), 25.1
    assert torch.allclose(gradient, 0.9 * torch.stack([1 / b - 2 * w[0] ** 2 / b**2, -2 * w[0] * w[1] / b**2]))
    assert not Ascent()(lambda z: z @ weight, torch.zeros(1, 2), 1, 1.0, False).requires_grad


def test_the_noise_of_both_players_is_improved() -> None:
    module, (x, y) = logan(share=1.0), batches(1)[0]
    torch.manual_seed(1)
    plain = module.G.sample_z(len(x))
    torch.manual_seed(1)
    better = module.draw_z(y)
    with torch.no_grad():
        before, after = (module.D(module.G(z)) for z in (plain, better))
    assert (after > before).all()
    terms = module.g_loss(x, y)
    assert set(terms) == {"g/adv", "g/transport"}
    torch.manual_seed(1)
    moved = module.g_loss(x, y)["g/transport"].item()
    assert moved == pytest.approx(0.1 * (better - plain).square().sum(1).mean().item(), rel=1e-4)
    assert set(module.d_loss(x, y)) == {"d/adv"}


class Gain(Generator):
    """G(z) = a z, of noise at the origin."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a, self.z_dim, self.out_shape = nn.Parameter(torch.tensor(a)), 2, (2,)

    def sample_z(self, n: int) -> Tensor:
        return torch.zeros(n, 2)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        return self.a * z


def test_g_learns_through_the_steps_by_hand() -> None:
    """D = w.x of |w|^2 = n: a step of .9 a w / (a^2 n + .1), whose square has this slope in a."""
    module, a, n = LOGAN(Gain(0.5), LinearCritic(3.0, (2,)), steps=1, share=1.0), 0.5, 9.0
    transport = module.g_loss(torch.zeros(4, 2), torch.zeros(4))["g/transport"]
    assert transport.item() == pytest.approx(0.1 * 0.81 * a**2 * n / (a**2 * n + 0.1) ** 2, rel=1e-5)
    (slope,) = torch.autograd.grad(transport, module.G.a)  # type: ignore[arg-type]
    assert slope.item() == pytest.approx(0.1 * 0.81 * 2 * a * n * (0.1 - a**2 * n) / (a**2 * n + 0.1) ** 3, rel=1e-4)


def test_what_is_evaluated_is_improved_by_d_and_leaves_both_as_they_were() -> None:
    module = logan().train()
    z = module.G.sample_z(6)
    image = module.generate_image(z)
    assert torch.equal(image, module.generate_image(z))
    assert module.G.training
    assert module.D.training
    assert not any(weight.grad is not None for weight in module.parameters())
    plain = logan(evaluation_steps=0).generate_image(z)
    assert not torch.equal(image, plain)
    assert isinstance(module.evaluated_generator, ImprovedGenerator)
    with torch.no_grad():
        shown = [module.D(part.float() / 127.5 - 1).mean() for part in (plain, image)]
    assert shown[1] > shown[0]


def test_a_run_that_is_only_evaluated_shows_the_same() -> None:
    module = logan()
    z = module.G.sample_z(6)
    with torch.inference_mode():  # as a trainer that validates
        alone = module.generate_image(z.clone())
    assert torch.equal(alone, module.generate_image(z))


def test_the_noise_of_an_image_can_be_looked_for() -> None:
    torch.manual_seed(0)
    space = ZSpace(logan())
    x = torch.zeros(2, *space.G.out_shape)
    z = space.draw(2).requires_grad_()
    (slope,) = torch.autograd.grad((space.images(z) - x).square().sum(), z)
    assert slope.abs().min() > 0
    assert invert(space, x, steps=2, starts=4).codes.shape == z.shape


def test_units_are_those_of_the_image_that_is_shown() -> None:
    torch.manual_seed(0)
    space = ZSpace(logan())
    codes, last = space.draw(3), [name for name in layer_names(space.G) if name.startswith("G.")][-1]
    made: list[Tensor] = []
    with torch.no_grad():
        out = output_of(space.G, last, lambda: made.append(space.images(codes)))
    assert torch.equal(out, made[0])


def test_a_run_goes_on_exactly(tmp_path: Path) -> None:
    ends_alike(tmp_path, logan, lambda: Digits(size=8, batch_size=8), cuts=[3], steps=5)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"steps": 0}, "give 1 step or more"),
        ({"share": 0.0}, r"share lies in \(0, 1\]"),
        ({"size": 0.0}, "size and damping must be above 0"),
        ({"share_fakes": True}, "share_fakes: LOGAN improves D's noise and G's apart: leave it out"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        logan(**settings)
