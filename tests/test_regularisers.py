"""Laws of the regularisers, of top-k training, of pseudo reals and of the maximal gradient, by hand."""

from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from resuming import ends_alike
from torch import Tensor
from toys import SHAPE, LinearCritic, batches, dcgans, mlps

from datamodules.digits import Digits
from lightning_modules.augment.ada import APA
from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import RelativisticPairing, TopK, Wasserstein
from lightning_modules.losses.latent_regularisers import LatentConsistency, MutualInformation
from lightning_modules.losses.penalties import MaxGradientPenalty
from lightning_modules.losses.regularisers import Consistency, FeatureMatching, LeCam, Regulariser, RotationTask, Scene
from lightning_modules.networks.base import Verdict
from lightning_modules.networks.latents import Coded
from lightning_modules.networks.wrapped import SecondHeadDiscriminator

Y = torch.zeros(2, dtype=torch.long)


def said(logits: list[float], classes: Tensor | None = None, features: Tensor | None = None) -> Verdict:
    nothing = torch.empty(len(logits), 0)
    given = [nothing if part is None else part for part in (classes, features)]
    return Verdict(torch.tensor(logits), *given)


def scene(real: Verdict, fake: Verdict, **more: Any) -> Scene:
    images = torch.zeros(len(real.logits), *SHAPE)
    return Scene(lambda x, y: said([0.0] * len(x)), images, Y, real, images, Y, fake, **more)


# --- LeCam --------------------------------------------------------------------------------------------------


def test_lecam_looks_back_at_the_other_kind() -> None:
    """Averages after steps of (2, -1) and (4, -3) with decay .75: 2.5 and -1.5."""
    term = LeCam(weight=0.3, decay=0.75, start=2)
    for step, (real, fake) in enumerate([(2.0, -1.0), (4.0, -3.0)]):
        assert term.d(scene(said([real, real]), said([fake, fake])), step) is None
        term.adapt()
    assert term.averages.tolist() == [2.5, -1.5]
    found = term.d(scene(said([0.0, -2.0]), said([1.0, 3.0])), 2)
    assert found is not None
    assert found.item() == pytest.approx(0.3 * ((1.5**2 + 0) / 2 + (1.5**2 + 0) / 2))


def test_lecam_of_micro_batches_is_that_of_the_batch() -> None:
    whole, parts = LeCam(), LeCam()
    whole.d(scene(said([1.0, 2.0, 6.0]), said([3.0, 5.0, 4.0])), 0)
    for real, fake in [([1.0], [3.0]), ([2.0, 6.0], [5.0, 4.0])]:  # of unequal sizes
        parts.d(scene(said(real), said(fake)), 0)
    for term in (whole, parts):
        term.adapt()
    assert whole.averages.tolist() == parts.averages.tolist() == [3.0, 4.0]


# --- consistency --------------------------------------------------------------------------------------------


def test_moved_images_are_the_mirrored_and_reflected_ones() -> None:
    """Each result is one of the 2 x 3 x 3 possible ones, and all are drawn."""
    torch.manual_seed(0)
    x = torch.arange(64.0).view(1, 1, 8, 8)
    wide = {}
    for mirrored in (False, True):
        padded = torch.nn.functional.pad(x.flip(3) if mirrored else x, [1] * 4, mode="reflect")
        for i in range(3):
            for j in range(3):
                wide[padded[..., i : i + 8, j : j + 8].flatten()[[0, 1, 9, 63]].tolist().__repr__()] = padded[
                    ..., i : i + 8, j : j + 8
                ]
    found = Consistency().move(x.expand(400, 1, 8, 8))
    names = {image.flatten()[[0, 1, 9, 63]].tolist().__repr__() for image in found}
    assert names == set(wide)
    for image in found[:50]:
        assert torch.equal(image[None], wide[image.flatten()[[0, 1, 9, 63]].tolist().__repr__()])


def test_consistency_is_the_squared_change_of_logits() -> None:
    both = scene(said([1.0, 3.0]), said([2.0, 0.0]))  # D says 0 of what was moved
    assert Consistency(weight=10).d(both, 0).item() == pytest.approx(10 * 5.0)
    assert Consistency(weight=10, fake_weight=4).d(both, 0).item() == pytest.approx(10 * 5.0 + 4 * 2.0)


def test_noise_nearby_pulls_d_together_and_pushes_images_apart() -> None:
    near = scene(said([0.0, 0.0]), said([2.0, 0.0]), images=torch.zeros(2, 3), z=torch.zeros(2, 4), G=lambda z: z + 3)
    term = LatentConsistency(radius=0.0)
    assert term.d(near, 0).item() == pytest.approx(20 * 2.0)
    assert term.g(near._replace(images=torch.zeros(2, 4))).item() == pytest.approx(-0.5 * 9)
    torch.manual_seed(0)
    wide = near._replace(z=torch.zeros(500, 400))
    assert LatentConsistency(radius=0.05).nearby(wide).std().item() == pytest.approx(0.05, rel=0.01)


# --- tasks of a second head ---------------------------------------------------------------------------------


def test_a_quarter_of_the_images_has_each_turn() -> None:
    seen: list[Tensor] = []

    def D(x: Tensor, y: Tensor) -> Verdict:
        seen.append(x)
        return said([0.0] * len(x), classes=torch.tensor([[log(2.0), 0.0, 0.0, 0.0]]).repeat(len(x), 1))

    x = torch.randn(8, 1, 3, 3)
    here = scene(said([0.0] * 8), said([0.0] * 8))._replace(D=D, x=x, fake_x=x + 1)
    right, wrong = -log(2 / 5), -log(1 / 5)
    assert RotationTask(d_weight=2).d(here, 0).item() == pytest.approx(2 * (right + 3 * wrong) / 4)
    assert RotationTask().g(here).item() == pytest.approx(0.2 * (right + 3 * wrong) / 4)
    for turn in range(8):
        assert torch.equal(seen[0][turn], x[turn].rot90(turn % 4, (1, 2)))
        assert torch.equal(seen[1][turn], x[turn].rot90(turn % 4, (1, 2)) + 1)


def test_information_is_how_legible_the_code_is() -> None:
    z = torch.tensor([[0.0, 1.0, 0.5, 9.0], [1.0, 0.0, -1.0, 9.0]])
    classes = torch.tensor([[0.0, log(3.0), 0.0], [0.0, 0.0, 1.0]])  # 3/4 and 1/2 for the category, off by .5 and 2
    here = scene(said([0.0, 0.0]), said([0.0, 0.0], classes=classes), z=z)
    term = MutualInformation(categories=2, numbers=1)
    wanted = (log(4 / 3) + log(2)) / 2 + 0.1 / 2 * (0.25 + 4) / 2
    assert term.outputs == 3
    assert term.d(here, 0).item() == term.g(here).item() == pytest.approx(wanted)


def test_a_coded_latent_is_a_category_numbers_and_noise() -> None:
    torch.manual_seed(0)
    z = Coded(categories=3, numbers=2).draw(3000, 8, torch.device("cpu"))
    assert z[:, :3].sum(0).sub(1000).abs().max() < 100
    assert z[:, :3].sum(1).unique().tolist() == [1.0]
    assert 0.98 < z[:, 3:5].abs().max() <= 1
    assert z[:, 3:5].std().item() == pytest.approx(3**-0.5, rel=0.03)
    assert z[:, 5:].std().item() == pytest.approx(1, rel=0.03)
    with pytest.raises(ValueError, match="z_dim 4 is shorter than its code of 5"):
        Coded(3, 2).draw(1, 4, torch.device("cpu"))


def test_feature_matching_compares_means() -> None:
    real, fake = torch.tensor([[1.0, 0.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [0.0, 2.0]])
    here = scene(said([0.0] * 2, features=real), said([0.0] * 2, features=fake))
    assert FeatureMatching(weight=2.0).g(here).item() == pytest.approx(2 * (2 + 1) / 2)


# --- what is chosen, deceived, or steepest ------------------------------------------------------------------


def test_top_k_takes_ever_fewer_of_the_best() -> None:
    logits = torch.tensor([3.0, -1.0, 5.0, 0.0])
    top = TopK(decay=0.8, least=0.5, kimg=2)
    assert [sorted(top(logits, images).tolist()) for images in (0, 1999, 2000, 6000, 90_000)] == [
        [-1.0, 0.0, 3.0, 5.0],
        [-1.0, 0.0, 3.0, 5.0],
        [0.0, 3.0, 5.0],
        [3.0, 5.0],
        [3.0, 5.0],
    ]


def test_pseudo_reals_are_fakes_at_the_same_place() -> None:
    torch.manual_seed(0)
    apa, x, fake = APA(), torch.zeros(4000, 2), torch.ones(4000, 2)
    assert torch.equal(apa(x, fake), x)
    apa.p.fill_(0.3)
    shown = apa(x, fake)
    assert shown.mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(shown[:, 0], shown[:, 1])


def test_pseudo_reals_follow_a_d_that_is_too_sure() -> None:
    apa = APA(target=0.6, kimg=1, every=2)
    for step in (1, 2):
        apa.observe(torch.tensor([1.0, 1.0, 1.0, -0.1]), 4)  # r = .5
        apa.adapt(step)
    assert apa.p.item() == 0
    for step in (3, 4):
        apa.observe(torch.ones(4), 4)
        apa.adapt(step)
    assert apa.p.item() == pytest.approx(8 / 1000)


def test_the_maximal_gradient_is_that_of_the_steepest_point() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 2)
    penalty = MaxGradientPenalty(10.0)
    assert penalty(LinearCritic(3.0, (2,)), x, x, None).item() == pytest.approx(10 * 3.0**2, rel=1e-5)
    steep = penalty(lambda x, y: x.square().sum(1) / 2, x, x, None)  # the gradient at x is x
    assert steep.item() == pytest.approx(10 * x.square().sum(1).max().item(), rel=1e-5)


# --- in a GAN -----------------------------------------------------------------------------------------------


def gan(*regularisers: Regulariser, second: int | None = None, **settings: Any) -> GAN:
    G, D = dcgans(batch_norm=False)
    if any(isinstance(term, MutualInformation) for term in regularisers):
        G.latent = Coded(2, 1)
    return GAN(G, D if second is None else SecondHeadDiscriminator(D, second), regularisers=regularisers, **settings)


ALL: list[tuple[Any, dict[str, Any], set[str]]] = [
    (lambda: [LeCam(start=0)], {}, {"d/lecam"}),
    (lambda: [Consistency(fake_weight=10.0)], {}, {"d/consistency"}),
    (lambda: [LatentConsistency()], {}, {"d/latent_consistency", "g/latent_consistency"}),
    (lambda: [RotationTask()], {"second": 4}, {"d/rotation", "g/rotation"}),
    (lambda: [MutualInformation(2, 1)], {"second": 3}, {"d/information", "g/information"}),
    (lambda: [FeatureMatching()], {}, {"g/feature_matching"}),
]


@pytest.mark.parametrize(("make", "settings", "names"), ALL, ids=lambda v: str(sorted(v)) if isinstance(v, set) else "")
def test_both_players_have_the_terms(make: Any, settings: dict[str, Any], names: set[str]) -> None:
    module, (x, y) = gan(*make(), **settings), batches(1)[0]
    terms = {**module.d_loss(x, y), **module.g_loss(x, y)}
    assert set(terms) == {"d/adv", "g/adv"} | names
    for name in names:
        player = module.D if name.startswith("d/") else module.G
        gradients = torch.autograd.grad(terms[name], list(player.parameters()), allow_unused=True, retain_graph=True)
        assert any(gradient is not None and gradient.any() for gradient in gradients), name


def test_g_learns_from_ever_fewer_fakes_as_images_go_by() -> None:
    module, (x, y) = gan(loss=Wasserstein(), top_k=TopK(decay=0.5, least=0.25, kimg=1)), batches(1)[0]
    for seen, kept in ((0, 8), (1000, 4), (9000, 2)):
        module.images_seen = seen
        torch.manual_seed(0)
        found = module.g_loss(x, y)["g/adv"]
        torch.manual_seed(0)
        logits = module.D(module.G(module.G.sample_z(len(x)), y))
        assert found.item() == pytest.approx(-logits.sort().values[-kept:].mean().item(), rel=1e-5)


def test_a_run_with_all_of_them_goes_on_exactly(tmp_path: Path) -> None:
    def module() -> GAN:
        G, D = dcgans(batch_norm=False)
        terms = [LeCam(start=2), Consistency(), LatentConsistency(), RotationTask(), FeatureMatching()]
        return GAN(
            G,
            SecondHeadDiscriminator(D, 4),
            regularisers=terms,
            pseudo_reals=APA(kimg=0.1),
            top_k=TopK(0.5, kimg=0.016),
        )

    ends_alike(tmp_path, module, lambda: Digits(size=8, batch_size=8), cuts=[4], steps=7)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"top_k": TopK(), "loss": RelativisticPairing()}, "top_k: a relativistic loss compares each fake"),
        ({"regularisers": [LeCam(), LeCam()]}, "regularisers: each may stand once, got lecam, lecam"),
    ],
)
def test_what_does_not_go_together_is_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        GAN(*mlps(), **settings)


def test_what_moves_images_refuses_others() -> None:
    here = scene(said([0.0] * 4), said([0.0] * 4))
    with pytest.raises(ValueError, match=r"Consistency moves images, these are of shape \[2\]: leave it out"):
        Consistency().d(here._replace(x=torch.zeros(4, 2)), 0)
    with pytest.raises(ValueError, match=r"RotationTask moves square images, these are of shape \[1, 4, 6\]"):
        RotationTask().d(here._replace(x=torch.zeros(4, 1, 4, 6)), 0)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: LeCam(decay=1.0), "decay must be 0 or more and below 1"),
        (lambda: Consistency(shift=0.5), "shift is a share of the side"),
        (lambda: Consistency(weight=-1.0), "Consistency: weight must not be negative"),
        (lambda: MutualInformation(0, 0), "there is no code: give categories or numbers"),
        (lambda: gan(MutualInformation(3, 0), second=3), "a code of 3 categories and 0 numbers: give the generator"),
        (lambda: Coded(0, 0), "give categories or numbers"),
        (lambda: TopK(least=0.0), "decay and least must be above 0"),
        (lambda: APA(kimg=0), "APA: kimg must be above 0"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
