"""U-Net, PatchGAN and CycleGAN's generator: published sizes, what a logit sees, by hand, and one sentence."""

import pytest
import torch
from network_laws import blocks_leave_their_input_unchanged, every_parameter_gets_a_gradient
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, relu

from lightning_modules.networks.identity import Constant
from lightning_modules.networks.patchgan import PatchGAN
from lightning_modules.networks.translator import Translator
from lightning_modules.networks.unet import InstanceNorm, UNet


def size(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


def test_they_are_as_large_as_the_published_ones() -> None:
    with torch.device("meta"):
        assert size(UNet()) == 54_413_955  # its published code prints 54.414 M
        assert size(PatchGAN()) == 2_768_705  # 2.769 M
        assert size(Translator()) == 11_378_179  # 11.378 M
        assert size(PatchGAN(condition=0, norm="instance")) == 2_764_737  # 2.765 M
        assert size(Translator(blocks=6)) == 7_837_699


@pytest.mark.parametrize(("layers", "field"), [(0, 1), (1, 16), (2, 34), (3, 70), (5, 286)])
def test_a_logit_sees_a_patch_and_no_more(layers: int, field: int) -> None:
    D = PatchGAN(1, condition=0, layers=layers, width=2, norm="none")
    assert D.receptive_field == field
    for weight in D.parameters():
        nn.init.constant_(weight, 0.1)
    x = torch.rand(1, 1, field + 96, field + 96, requires_grad=True)
    logits = D(x)
    middle = logits.shape[1] // 2
    logits[0, middle, middle].backward()
    rows = x.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert rows[-1] - rows[0] + 1 == field


def test_a_conditional_d_sees_both_images() -> None:
    torch.manual_seed(0)
    D = PatchGAN(1, condition=2, layers=1, width=4)
    x, y = torch.randn(2, 1, 32, 32), torch.randn(2, 2, 32, 32)
    logits = D(x, y)
    assert logits.shape == (2, 14, 14)
    assert not torch.allclose(D(x, y + 1), logits)
    assert not torch.allclose(D(x + 1, y), logits)
    plain = nn.Sequential(D.blocks, D.head)(torch.cat([x, y], 1))[:, 0]
    assert torch.equal(plain, D(x, y))
    with pytest.raises(ValueError, match="a conditional PatchGAN needs the image"):
        D(x)


def test_a_constant_says_the_same_of_everything() -> None:
    y = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    assert torch.equal(Constant(-0.5)(y), torch.full_like(y, -0.5))
    assert not Constant()(y).any()
    assert not list(Constant().parameters())


def test_every_parameter_and_none_of_the_inputs() -> None:
    every_parameter_gets_a_gradient(lambda: UNet(3, width=4, dropout=0.0), (3, 16, 16))
    every_parameter_gets_a_gradient(lambda: UNet(3, 2, 1, width=4, norm="none"), (2, 16, 16))
    every_parameter_gets_a_gradient(lambda: PatchGAN(3, 0, 2, 4), (3, 32, 32))
    every_parameter_gets_a_gradient(lambda: Translator(1, width=4, norm="none"), (3, 16, 16))
    blocks_leave_their_input_unchanged(lambda: PatchGAN(3, 0, 2, 4), (3, 32, 32))


def test_a_small_u_net_by_hand() -> None:
    torch.manual_seed(0)
    net = UNet(2, in_channels=1, out_channels=1, width=2, norm="none")
    for weight in net.parameters():
        nn.init.normal_(weight, std=0.3)
    w = dict(net.named_parameters())
    y = torch.randn(1, 1, 8, 8)
    outer = conv2d(y, w["down.0.weight"], w["down.0.bias"], 2, 1)
    inner = conv2d(leaky_relu(outer, 0.2), w["down.1.weight"], w["down.1.bias"], 2, 1)
    up = conv_transpose2d(relu(inner), w["up.0.weight"], w["up.0.bias"], 2, 1)
    x = conv_transpose2d(relu(torch.cat([outer, up], 1)), w["up.1.weight"], w["up.1.bias"], 2, 1).tanh()
    assert torch.allclose(net(y), x, atol=1e-6)


def answers(net: nn.Module, y: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [net(y) for _ in range(2)]


def test_dropout_is_noise_and_stays_at_test_unless_told_otherwise() -> None:
    torch.manual_seed(0)
    y = torch.randn(2, 3, 64, 64)
    one, two = answers(UNet(6, width=4).eval(), y)
    assert not torch.equal(one, two)
    one, two = answers(UNet(6, width=4, test_as_trained=False).eval(), y)
    assert torch.equal(one, two)
    one, two = answers(UNet(6, width=4, test_as_trained=False).train(), y)
    assert not torch.equal(one, two)
    with pytest.raises(ValueError, match="dropout is 1: give a share"):
        UNet(dropout=1)


def test_batch_norm_at_test_is_that_of_the_batch_or_of_training() -> None:
    torch.manual_seed(0)
    y = torch.randn(2, 3, 16, 16)
    as_trained = UNet(3, width=4)
    assert torch.equal(as_trained.train()(y), as_trained.eval()(y))  # no dropout in so shallow a one
    averaged = UNet(3, width=4, test_as_trained=False)
    assert not torch.allclose(averaged.train()(y), averaged.eval()(y), atol=1e-3)
    assert torch.allclose(averaged(y)[:1], averaged(y[:1]), atol=1e-6)
    assert not torch.allclose(as_trained(y)[:1], as_trained(y[:1]), atol=1e-3)


@pytest.mark.parametrize("n", [1, 3])
def test_instance_norm_normalises_each_map(n: int) -> None:
    x = 3 + 2 * torch.randn(n, 5, 7, 6, generator=torch.Generator().manual_seed(0))
    x = x.contiguous(memory_format=torch.channels_last)
    flat = x.flatten(2)
    expected = (flat - flat.mean(2, keepdim=True)) / (flat.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()
    for norm in (InstanceNorm(5), InstanceNorm(5).eval()):
        assert torch.allclose(norm(x).flatten(2), expected, atol=1e-5)
    assert InstanceNorm(5)(x[:1]).is_contiguous(memory_format=torch.channels_last)


def test_how_many_layers_drop_out() -> None:
    def dropped(depth: int) -> int:
        net, calls = UNet(depth, width=1), []
        original = torch.nn.functional.dropout
        try:
            import lightning_modules.networks.unet as module

            module.dropout = lambda x, p, on: calls.append(x.shape[1]) or original(x, p, on)  # type: ignore[func-returns-value]
            net(torch.randn(1, 3, 2**depth, 2**depth))
        finally:
            module.dropout = original
        assert set(calls) <= {8}
        return len(calls)

    assert [dropped(depth) for depth in (8, 7, 5)] == [3, 2, 0]


def test_sides_that_cannot_be_halved_are_refused() -> None:
    with pytest.raises(ValueError, match="an image of 12x16 cannot be halved 3 times: give sides that"):
        UNet(3, width=2)(torch.zeros(1, 3, 12, 16))
    with pytest.raises(ValueError, match="an image of 10x8 cannot be halved and come back: give sides"):
        Translator(1, width=2)(torch.zeros(1, 3, 10, 8))
    with pytest.raises(ValueError, match="depth is 1"):
        UNet(1)
    with pytest.raises(ValueError, match="layers is -1"):
        PatchGAN(layers=-1)


def test_a_translator_keeps_sizes_and_pads_by_reflection() -> None:
    torch.manual_seed(0)
    net = Translator(1, width=4)
    assert net(torch.randn(2, 3, 20, 12)).shape == (2, 3, 20, 12)
    pads = [layer.padding for layer in net.modules() if isinstance(layer, nn.Conv2d) and layer.stride == (1, 1)]
    assert set(pads) == {(0, 0)}
    assert list(Translator(norm="instance", width=2).layers[1].parameters())[1].requires_grad is not False
