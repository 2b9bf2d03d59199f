"""Editing: spaces, inversion of known codes, directions by hand, sheets whose ends and layers are those asked for."""

import pytest
import torch
from torch import Tensor, nn

from datamodules.functional.quantise import to_uint8
from lightning_modules.gan import GAN
from lightning_modules.generative import GenerativeModule
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.resolutions import Widths
from lightning_modules.networks.stylegan2 import StyleGAN2Generator
from lightning_modules.networks.stylegan_discriminator import StyleGAN2Discriminator
from lightning_modules.networks.vae import DCGANDecoder, DCGANEncoder
from lightning_modules.stylegan import StyleGAN
from lightning_modules.tools.directions import attribute, ganspace, sefa, towards_mean
from lightning_modules.tools.edits import between, mixed, traversals, truncated, variations
from lightning_modules.tools.inversion import encoded, invert, ramp, teach
from lightning_modules.tools.spaces import SPACES, WPlusSpace, WSpace, ZSpace
from lightning_modules.vae import VAE


def styled() -> StyleGAN:
    torch.manual_seed(0)
    G = StyleGAN2Generator(8, 1, z_dim=8, w_dim=6, mapping_layers=2, widths=Widths(64, 8))
    return StyleGAN(G, StyleGAN2Discriminator(8, 1, widths=Widths(64, 8)))


def plain() -> GAN:
    torch.manual_seed(0)
    return GAN(DCGANGenerator(size=8, channels=1, z_dim=4, width=4), DCGANDiscriminator(size=8, channels=1, width=4))


def test_spaces_make_the_images_of_their_codes() -> None:
    module = styled()
    z = torch.randn(3, 8)
    own = module.generate_image(z)
    for name, kind in SPACES.items():
        space = kind(module)
        with torch.no_grad():
            codes = space.codes(z)
        assert space.name == name
        assert torch.equal(space.pictures(codes), own), name
    assert ZSpace(plain()).draw(5).shape == (5, 4)
    with pytest.raises(ValueError, match="DCGANGenerator has no w: that needs a generator with styles"):
        WSpace(plain())
    with pytest.raises(ValueError, match=r"DCGANGenerator knows no classes: leave the class out"):
        ZSpace(plain(), 3)


def test_gradients_reach_codes_alone() -> None:
    module = styled().train()
    space = WSpace(module)
    codes = space.draw(2).requires_grad_()
    space.images(codes).sum().backward()
    assert codes.grad is not None
    assert codes.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in module.parameters())
    assert not module.G.synthesis.training


@pytest.mark.parametrize("name", ["w", "w+"])
def test_a_known_code_is_found_again(name: str) -> None:
    space = SPACES[name](styled())
    torch.manual_seed(1)
    with torch.no_grad():
        x = space.images(space.draw(3))
    found = invert(space, x, steps=200, rate=0.05, starts=64)
    assert found.psnr.min() > 30
    by_hand = 10 * torch.log10(4 / (found.images - x).square().mean((1, 2, 3)))
    assert torch.allclose(found.psnr, by_hand)
    with pytest.raises(ValueError, match=r"an image of \[1, 4, 4\] is none of the generator's, which are \[1, 8, 8\]"):
        invert(space, x[..., :4, :4])
    with pytest.raises(ValueError, match="starts 1: give 1 or more steps, and 2 or more starts"):
        invert(space, x, starts=1)


def test_an_encoder_is_taught_and_its_codes_are_a_start() -> None:
    space = WSpace(styled())
    torch.manual_seed(1)
    with torch.no_grad():
        x = space.images(space.draw(8))
    net = nn.Sequential(nn.Flatten(), nn.LazyLinear(space.draw(1).numel()))
    found = encoded(space, x, lambda: teach(space, net, steps=120, rate=1e-2))
    assert not net.training
    middle = space.images(space.middle())
    of_middle = 10 * torch.log10(4 / (middle - x).square().mean((1, 2, 3)))
    assert found.psnr.mean() > of_middle.mean() + 3
    further = invert(space, x, steps=30, rate=0.02, noise=0.0, begun=found.codes)
    assert further.psnr.mean() > found.psnr.mean()
    with pytest.raises(ValueError, match="is none of the generator's"):
        encoded(space, x[..., :4, :4], lambda: net)


def test_a_family_with_an_encoder_is_asked() -> None:
    def none() -> nn.Module:
        raise AssertionError("nothing is to be taught")

    module = VAE(DCGANEncoder(8, 1, 4, 4), DCGANDecoder(8, 1, 4, 4))
    x = 2 * torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 1
    found = encoded(ZSpace(module), x, none)
    assert torch.allclose(found.codes, module.evaluated_pair.encode(x, None)[0])
    assert torch.allclose(found.images, module(x), atol=1e-6)


def test_a_distance_of_features_is_added() -> None:
    space = WSpace(styled())
    x = space.images(space.draw(2)).detach()
    seen: list[Tensor] = []

    def distance(made: Tensor, wanted: Tensor) -> Tensor:
        seen.append(wanted)
        return 1e6 * (made - wanted).square().mean((1, 2, 3))

    invert(space, x, steps=3, starts=4, features=distance)
    assert len(seen) == 3
    assert torch.equal(seen[0], x)
    assert [round(ramp(done), 3) for done in (0.0, 0.5, 1.0)] == [0.02, 1.0, 0.0]


def test_sefa_finds_what_the_weights_look_at() -> None:
    module = styled()
    affine = [m for m in module.G.synthesis.modules() if isinstance(m, nn.Linear)]
    assert len(module.G.affine_weights()) == len(affine) > 3
    for layer in affine:
        nn.init.zeros_(layer.weight)
        layer.weight.data[:, 4] = 2.0
    found = sefa(module.G, 2)
    assert found.vectors[0].abs().argmax() == 4
    assert found.vectors[0].norm().item() == pytest.approx(1)
    assert found.strengths[1].item() == pytest.approx(0, abs=1e-5)
    with pytest.raises(ValueError, match="7 directions are asked for: give 1 up to 6"):
        sefa(module.G, 7)


def test_sefa_follows_w_where_its_axes_are_turned() -> None:
    module = styled()
    affine = [m for m in module.G.synthesis.modules() if isinstance(m, nn.Linear)]
    for layer in affine:
        layer.weight.data[:, 2] *= 5
    found, (Q, _) = sefa(module.G, 6), torch.linalg.qr(torch.randn(6, 6))
    for layer in affine:
        layer.weight.data = layer.weight.data @ Q.T
    turned = sefa(module.G, 6)
    assert found.vectors[0].abs().argmax() == 2
    assert torch.allclose((turned.vectors @ Q * found.vectors).sum(1).abs(), torch.ones(6), atol=1e-3)
    assert torch.allclose(turned.strengths, found.strengths, rtol=1e-4)


class Stretched(ZSpace):
    """Normal codes, of which one dimension is wider."""

    def draw(self, n: int) -> Tensor:
        return torch.randn(n, 4) * torch.tensor([1.0, 1.0, 5.0, 1.0])


def test_ganspace_finds_where_codes_spread() -> None:
    torch.manual_seed(0)
    found = ganspace(Stretched(plain()), 2, 2000)
    assert found.vectors[0].abs().argmax() == 2
    assert found.strengths[0].item() == pytest.approx(5, rel=0.1)
    with pytest.raises(ValueError, match="components of w"):
        ganspace(WPlusSpace(styled()), 2)


def test_an_attribute_lies_along_what_it_hangs_on() -> None:
    torch.manual_seed(0)
    codes = torch.randn(400, 5)
    found = attribute(codes, codes[:, 1] - codes[:, 3] > 0)
    wanted = torch.tensor([0.0, 1.0, 0.0, -1.0, 0.0]) / 2**0.5
    assert (found.vectors[0] @ wanted).item() > 0.98
    assert found.strengths.item() > 0.95
    for found_by in (attribute, towards_mean):
        with pytest.raises(ValueError, match="none of 400 codes have it: nothing to part them by"):
            found_by(codes, torch.zeros(400, dtype=torch.bool))


def test_means_point_from_the_others_to_those_that_have_it() -> None:
    codes = torch.tensor([[0.0, 1.0], [0.0, -1.0], [3.0, 5.0], [3.0, 3.0], [1.6, 2.0]])
    found = towards_mean(codes, torch.tensor([False, False, True, True, False]))
    first, second = torch.tensor([1.6 / 3, 2 / 3]), torch.tensor([3.0, 4.0])
    assert torch.allclose(found.vectors[0], (second - first) / (second - first).norm())


@pytest.mark.parametrize("find", [attribute, towards_mean])
def test_a_direction_of_nothing_is_as_good_as_chance(find) -> None:
    torch.manual_seed(0)
    codes, has = torch.randn(4000, 100), torch.rand(4000) < 0.1  # of 10 %: always saying no would be right of 90 %
    assert find(codes, has).strengths.item() == pytest.approx(0.5, abs=0.05)
    codes[has] += 10
    assert find(codes, has).strengths.item() == 1
    for count, said in ((1, "1"), (3999, "3999")):
        with pytest.raises(ValueError, match=f"{said} of 4000 codes have it"):
            find(codes, torch.arange(4000) < count)


def pictures(module: GenerativeModule, z: Tensor) -> Tensor:
    return module.generate_image(z)


def test_sheets_begin_and_end_at_their_codes() -> None:
    module = styled()
    space, z = WSpace(module), torch.randn(4, 8)
    with torch.no_grad():
        codes = space.codes(z)
    own = pictures(module, z)
    way = between(space, codes[:2], codes[2:], 3)
    assert way.shape == (2, 3, 1, 8, 8)
    assert torch.equal(way[:, 0], own[:2])
    assert torch.equal(way[:, 2], own[2:])
    torch.manual_seed(3)
    drawn = truncated(space, codes, [0.0, 1.0])
    assert torch.equal(drawn[:, 1], own)
    assert torch.equal(drawn[0, 0], drawn[3, 0])
    moves = traversals(space, codes[:1], torch.eye(6)[:2], 1.5, 3)
    assert torch.equal(moves[0, 1], own[0])
    assert torch.equal(moves[1, 2], space.pictures(codes[:1] + 1.5 * torch.eye(6)[1])[0])
    assert torch.equal(variations(space, codes[:1], 3, 0.0)[0, 2], own[0])
    other, z = plain(), 100 * torch.randn(2, 4)
    way = between(ZSpace(other), z[:1], z[1:], 3)
    assert not torch.equal(way[0, 1], pictures(other, z.mean(0, keepdim=True))[0])  # a great circle


def test_mixed_layers_are_those_that_were_asked_for() -> None:
    module = styled()
    space = WPlusSpace(module)
    with torch.no_grad():
        a, b = space.draw(2), space.draw(3)
        layers = module.G.num_styles
        assert torch.equal(mixed(space, a, b, range(layers))[0], space.pictures(b))
        one = mixed(space, a, b, [layers - 1])
        by_hand = a[1].clone()
        by_hand[-1] = b[2, -1]
        assert torch.equal(one[1, 2], to_uint8(space.images(by_hand[None]))[0])
    with pytest.raises(ValueError, match=rf"layers \[9\]: this generator has 0 to {layers - 1}"):
        mixed(space, a, b, [9])
