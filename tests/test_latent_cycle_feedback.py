"""Laws of the second image: what is said of the first, what G makes of it, and which of them is looked at."""

from pathlib import Path
from typing import Any

import pytest
import torch
from network_laws import blocks_leave_their_input_unchanged, every_parameter_gets_a_gradient
from torch import Tensor
from toys import Z_DIM, Finite, batches, distance, sgd, trainer, weights

from lightning_modules.augment.ada import ADA
from lightning_modules.callbacks.generative_metrics import of_variant
from lightning_modules.ema import EMASettings
from lightning_modules.feedback import Code, Feedback, SpatialScores
from lightning_modules.latent_cycle import LatentCycle
from lightning_modules.losses.penalties import R1
from lightning_modules.losses.reconstruction import L1
from lightning_modules.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lightning_modules.networks.feedback import FeedbackDCGANGenerator, Modulation, SpatialDiscriminator
from lightning_modules.networks.latent_cycle import (
    DCGANEncoder,
    DCGANJointDiscriminator,
    DrawnCode,
    MLPEncoder,
    MLPJointDiscriminator,
    NoisyCode,
)

SIDE = 16
FORMS: dict[str, tuple[Feedback, int]] = {"code": (Code(), 2 * Z_DIM), "scores": (SpatialScores(), 2)}


def generator(signal: int = 2, gate: float = 0.0) -> FeedbackDCGANGenerator:
    """With the gates of all modulations open by ``gate``."""
    G = FeedbackDCGANGenerator(SIDE, 1, Z_DIM, width=4, signal=signal, hidden=3)
    for module in G.modules():
        if isinstance(module, Modulation) and gate:
            torch.nn.init.normal_(module.gate.weight, std=gate)
    return G


def cycle(form: str, gate: float = 0.0, **settings: Any) -> LatentCycle:
    torch.manual_seed(0)
    feedback, signal = FORMS[form]
    E, D = DCGANEncoder(SIDE, 1, Z_DIM, width=4), SpatialDiscriminator(SIDE, 1, width=4)
    optimizers = {"d_optimizer": sgd(), "g_optimizer": sgd()}
    return LatentCycle(generator(signal, gate), D, E, latent_loss=L1(), feedback=feedback, **{**optimizers, **settings})


def test_ada_counts_each_image_once_though_d_judges_it_twice() -> None:
    module = cycle("scores", augment=ADA())
    x = torch.randn(8, 1, SIDE, SIDE)
    module.d_loss(x, torch.zeros(8, dtype=torch.int64))
    assert module.augment.heard[2] == 8
    assert module.augment.heard[1] % 16 == 0  # verdicts: of both passes


# --- what is said, and what is made of it -------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_a_closed_gate_leaves_the_image_unchanged(training: bool) -> None:
    G, z, signal = generator().train(training), torch.randn(8, Z_DIM), torch.randn(8, 2, SIDE, SIDE)
    first = G(z)
    assert (G.again(z, signal) - first).abs().max() < 1e-6
    assert (generator(gate=0.1).train(training).again(z, signal) - first).abs().max() > 1e-3


def test_a_signal_of_one_place_modulates_only_there() -> None:
    modulation = Modulation(maps=2, signal=1, hidden=3, kernel=1).eval()
    torch.nn.init.ones_(modulation.gate.weight)
    affine, h = torch.nn.BatchNorm2d(2), torch.randn(1, 2, 4, 4)
    signal = torch.zeros(1, 1, 8, 8)
    with torch.no_grad():
        for bias in (modulation.read[0].bias, affine.bias):
            bias.zero_()
        signal[:, :, 2:4, 6:] = 5.0  # the place (1, 3) of 4 x 4
        changed = (modulation(h, signal, affine) - modulation(h, 0 * signal, affine)).abs().amax((0, 1)) > 0
    assert changed.nonzero().tolist() == [[1, 3]]


def test_modulation_by_hand() -> None:
    modulation, affine = Modulation(maps=1, signal=1, hidden=1, kernel=1).eval(), torch.nn.BatchNorm2d(1)
    with torch.no_grad():
        modulation.read[0].weight.fill_(1.0)
        modulation.read[0].bias.zero_()
        modulation.gate.weight.copy_(torch.tensor([2.0, 3.0]).view(2, 1, 1, 1))  # a = 2 s, b = 3 s
        affine.weight.fill_(4.0)
        affine.bias.fill_(1.0)
        out = modulation(torch.full((1, 1, 2, 2), 0.5), torch.full((1, 1, 1, 1), 10.0), affine)
    assert out == pytest.approx((1 + 20) * (4 * 0.5 + 1) + 30, rel=1e-4)  # running variance is 1 + 1e-5


def test_the_code_is_said_with_its_error() -> None:
    module, z = cycle("code"), torch.randn(3, Z_DIM)
    x = torch.randn(3, 1, SIDE, SIDE)
    signal = Code()(x, z, module.G.encoder, module.D, None)
    code = module.G.encoder(x)
    assert signal.shape == (3, 2 * Z_DIM, 1, 1)
    assert torch.equal(signal[:, :Z_DIM, 0, 0], code)
    assert torch.equal(signal[:, Z_DIM:, 0, 0], code - z)
    assert not signal.requires_grad


def test_scores_are_said_by_place() -> None:
    module, x = cycle("scores"), torch.randn(3, 1, SIDE, SIDE)
    signal = SpatialScores()(x, torch.randn(3, Z_DIM), module.G.encoder, module.D, None)
    verdict = 2 * torch.sigmoid(module.D(x)) - 1
    assert verdict.shape == (3, 4, 4)
    assert torch.equal(signal[:, :1], x)
    assert torch.allclose(signal[:, 1], verdict.repeat_interleave(4, 1).repeat_interleave(4, 2), atol=1e-6)


# --- training -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_every_parameter_gets_a_gradient(form: str) -> None:
    module, (x, y) = cycle(form, gate=0.1), batches(1, shape=(1, SIDE, SIDE))[0]
    for loss, net in ((module.d_loss, module.D), (module.g_loss, module.G)):
        module.zero_grad()
        sum(loss(x, y).values()).backward()  # type: ignore[union-attr]
        for name, p in net.named_parameters():
            assert p.grad is not None, name
            assert p.grad.abs().sum() > 0, name


@pytest.mark.parametrize("form", FORMS)
def test_both_images_are_judged_and_reconstructed(form: str) -> None:
    module, (x, y) = cycle(form, gate=0.5), batches(1, shape=(1, SIDE, SIDE))[0]
    module.eval()  # so that a batch of both is the two batches
    torch.manual_seed(1)
    terms = module.g_loss(x, y)
    torch.manual_seed(1)
    z = module.G.sample_z(len(x))
    first, second = module.images(z, y)
    assert (first - second).abs().max() > 0.01
    judged = [module.loss.g(None, module.D(image)) for image in (first, second)]
    coded = [(module.G.encoder(image) - z).abs().mean() for image in (first, second)]
    assert terms["g/adv"].item() == pytest.approx(sum(judged).item() / 2, abs=1e-6)  # type: ignore[union-attr]
    assert terms["g/latent_l1"].item() == pytest.approx(sum(coded).item() / 2, abs=1e-6)  # type: ignore[union-attr]


def test_each_image_is_judged_under_the_class_it_was_made_of() -> None:
    module, x, y = cycle("code"), batches(1, shape=(1, SIDE, SIDE))[0][0][:3], torch.arange(3)
    seen: list[tuple[list[float], list[int]]] = []

    def look(x: Tensor, fake: Tensor, y: Tensor, y_fake: Tensor | None = None) -> dict[str, Tensor]:
        seen.append((fake[:, 0, 0, 0].tolist(), (y if y_fake is None else y_fake).tolist()))
        return {}

    module.images = lambda z, y: [y[:, None, None, None].expand(-1, 1, SIDE, SIDE).float()] * 2  # type: ignore[method-assign, index]
    module.d_terms = module.g_terms = look  # type: ignore[method-assign,assignment]
    module.d_loss(x, y)
    module.g_loss(x, y)
    assert seen == [([0, 1, 2] * 2, [0, 1, 2] * 2)] * 2


def test_all_penalties_meet_as_many_reals_as_fakes(tmp_path: Path) -> None:
    module = cycle("scores", penalties=[R1(0.1)], one_pass=True, micro_batch=5, ema=EMASettings(decay=0.5))
    before = weights(module)
    trainer(tmp_path, max_steps=2).fit(module, datamodule=Finite(batches(2, shape=(1, SIDE, SIDE))))
    assert distance(before, weights(module)) > 1e-4
    assert module.row["g/latent_error"] > 0


# --- which image is looked at -------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_sample_gives_either_image(form: str) -> None:
    module, z = cycle(form, gate=0.5).eval(), torch.randn(4, Z_DIM)
    first, second = module.images(z, None)
    assert module.evaluated_pass == 2
    assert (module.generate_image(z).float() - 127.5 * (second + 1)).abs().max() <= 0.51
    with module.evaluating_pass(1):
        assert (module.generate_image(z).float() - 127.5 * (first + 1)).abs().max() <= 0.51
    assert module.evaluated_pass == 2
    assert torch.equal(cycle(form, gate=0.5, evaluated_pass=1).generate_image(z), cycle(form).generate_image(z))
    assert not torch.equal(module.generate_image(z), cycle(form).generate_image(z))


def test_both_images_are_scored_from_the_same_noise() -> None:
    module = cycle("code", gate=0.5)
    torch.manual_seed(3)
    second = module.sample(5)
    torch.manual_seed(3)
    first, labels = module.variants["first"](5)
    assert labels is None
    assert not torch.equal(first, second)
    module.evaluated_pass = 1
    torch.manual_seed(3)
    assert torch.equal(module.sample(5), first)
    assert module.variants == {}
    assert of_variant({"fid@digits-cnn": 1.0, "is": 2.0}, "first") == {"fid_first@digits-cnn": 1.0, "is_first": 2.0}


def test_panels_show_both() -> None:
    panels = cycle("code", gate=0.5).panels(4)
    assert panels.keys() == {"samples", "first"}
    assert not torch.equal(panels["samples"], panels["first"])
    assert cycle("code", evaluated_pass=1).panels(4).keys() == {"samples"}


def test_looking_leaves_modes_as_they_were() -> None:
    module = cycle("scores")
    module.G.encoder.eval()
    before = {name: m.training for name, m in module.named_modules()}
    module.sample(2)
    module.codes(2)
    assert {name: m.training for name, m in module.named_modules()} == before


# --- networks and refusals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: MLPEncoder((1, 4, 4), 3, width=8), (1, 4, 4)),
        (lambda: DCGANEncoder(16, 1, 3, width=4), (1, 16, 16)),
        (lambda: DCGANEncoder(28, 1, 3, width=4, batch_norm=True), (1, 28, 28)),
        (lambda: NoisyCode(MLPEncoder((2,), 4, width=8)), (2,)),
        (lambda: MLPJointDiscriminator((1, 4, 4), 3, width=8), (19,)),
        (lambda: DCGANJointDiscriminator(16, 1, 3, width=4, joint_width=8), (16 * 16 + 3,)),
        (lambda: SpatialDiscriminator(16, 1, width=4, scores=8), (1, 16, 16)),
    ],
)
def test_networks(make: Any, shape: tuple[int, ...]) -> None:
    every_parameter_gets_a_gradient(make, shape)
    if isinstance(make(), SpatialDiscriminator):
        blocks_leave_their_input_unchanged(make, shape)


def test_drawn_codes_have_the_moments_they_are_given() -> None:
    inner, x, n = MLPEncoder((2,), 2, width=4), torch.zeros(20_000, 2), 20_000
    last = inner.layers[1]
    torch.nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    last.bias.data = torch.tensor([3.0, 2.0])  # mean 3, variance e^2
    torch.manual_seed(0)
    for E, deviation in ((DrawnCode(inner), torch.e), (NoisyCode(inner, 0.5), 0.5)):
        code = E.draw(x)[:, 0]
        assert code.mean().item() == pytest.approx(3, abs=4 * deviation / n**0.5)
        assert code.std().item() == pytest.approx(deviation, rel=0.02)
        assert torch.equal(E(x)[:, 0], torch.full((n,), 3.0))
    DrawnCode(inner).draw(x).sum().backward()
    assert (last.bias.grad.abs() > 0).all()  # type: ignore[union-attr]  # mean and variance both learn
    with pytest.raises(ValueError, match="5 is not even"):
        DrawnCode(MLPEncoder((2,), 5))
    with pytest.raises(ValueError, match="deviation must be above 0"):
        NoisyCode(inner, 0.0)


@pytest.mark.parametrize(
    ("scores", "parameters"), [(4, SpatialDiscriminator(16, 1, width=4)), (8, SpatialDiscriminator(16, 1, 4, 8))]
)
def test_scores_have_the_side_asked_for(scores: int, parameters: SpatialDiscriminator) -> None:
    assert parameters(torch.randn(2, 1, 16, 16)).shape == (2, scores, scores)
    with pytest.raises(ValueError, match=r"must be one of \[8, 4\], got 5"):
        SpatialDiscriminator(16, 1, scores=5)


def test_networks_that_do_not_fit_the_feedback_are_refused() -> None:
    E, D = DCGANEncoder(SIDE, 1, Z_DIM, width=4), DCGANDiscriminator(SIDE, 1, width=4)
    with pytest.raises(ValueError, match="makes no second image"):
        LatentCycle(DCGANGenerator(SIDE, 1, Z_DIM, 4), D, E, latent_loss=L1(), feedback=Code())
    with pytest.raises(ValueError, match="Code has 8 channels, the generator reads 2"):
        LatentCycle(generator(2), D, E, latent_loss=L1(), feedback=Code())
    joint = DCGANJointDiscriminator(SIDE, 1, Z_DIM, width=4)
    with pytest.raises(ValueError, match="choose one of the two"):
        LatentCycle(generator(2 * Z_DIM), joint, E, latent_loss=L1(), feedback=Code())
    module = LatentCycle(generator(2), D, E, latent_loss=L1(), feedback=SpatialScores())
    with pytest.raises(ValueError, match="no logit for each place"):
        module.sample(2)
