"""Laws of what conditional families show and minimise: smoothed and lying labels, class terms, sheets of classes."""

from math import log
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from test_conditional import acgan_players, concat_players, projection_players
from torch import Tensor
from torch.nn.functional import cross_entropy, softplus
from toys import mlps, same

from datamodules.functional.keys import key
from lightning_modules.callbacks.pictures import grid
from lightning_modules.callbacks.samples import ImageGrid
from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import (
    Hinge,
    Minimax,
    NoisyLabels,
    NonSaturating,
    RelativisticPairing,
    Wasserstein,
)
from lightning_modules.losses.classification import AuxiliaryClassifier

# --- labels that are smoothed, or lie -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [NonSaturating, Minimax])
def test_one_sided_smoothing_by_hand(kind):
    # sigma(log 3) = 3/4, for reals and for fakes.
    logits = torch.full((4,), log(3))
    wanted = -0.9 * log(3 / 4) - 0.1 * log(1 / 4) - log(1 / 4)
    assert float(kind(real_target=0.9).d(logits, logits)) == pytest.approx(wanted, abs=1e-6)
    assert torch.equal(kind(real_target=0.9).g(None, logits), kind().g(None, logits))
    assert torch.equal(kind().d(logits, -logits), softplus(-logits).mean() + softplus(-logits).mean())


def test_smoothed_reals_are_best_at_the_odds_of_the_target():
    logit = torch.tensor([log(9)], requires_grad=True)  # sigma = 0.9
    NonSaturating(real_target=0.9).d(logit, torch.zeros(1)).backward()
    assert logit.grad.item() == pytest.approx(0, abs=1e-7)


def test_a_share_of_labels_lies():
    real, fake = torch.ones(20_000), torch.zeros(20_000)
    torch.manual_seed(0)
    found = float(NoisyLabels(Wasserstein(), p=0.1).d(real, fake))  # (1 - p) (0 - 1) + p (1 - 0)
    assert (1 + found) / 2 == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / 20_000) ** 0.5)
    torch.manual_seed(0)
    assert float(NoisyLabels(Wasserstein(), p=0.1).d(real, fake)) == found


def test_labels_that_do_not_lie_change_nothing_and_g_is_never_lied_to():
    real, fake = torch.randn(50), torch.randn(50)
    for loss in (Hinge(), NonSaturating(0.9), RelativisticPairing()):
        assert torch.equal(NoisyLabels(loss, p=0.0).d(real, fake), loss.d(real, fake))
        assert torch.equal(NoisyLabels(loss, p=0.4).g(real, fake), loss.g(real, fake))
        assert NoisyLabels(loss).relativistic == loss.relativistic


def test_a_pair_changes_places_whole():
    torch.manual_seed(3)
    real, fake = torch.arange(8.0), -torch.arange(8.0)
    flipped = torch.rand(8) < 0.4
    assert 0 < flipped.sum() < 8
    torch.manual_seed(3)
    found = NoisyLabels(Hinge(), p=0.4).d(real, fake)
    sign = torch.where(flipped, -1, 1)
    assert torch.equal(found, Hinge().d(sign * real, sign * fake))


@pytest.mark.parametrize("make", [lambda: NonSaturating(0.5), lambda: NonSaturating(1.1), lambda: NoisyLabels(p=0.5)])
def test_labels_that_say_nothing_are_refused(make):
    with pytest.raises(ValueError, match=r"real_target must|p must"):
        make()


# --- the auxiliary classifier -------------------------------------------------------------------------------


def test_auxiliary_classifier_by_hand():
    # Odds of 3 to 1 for class 0: -log P is log 4/3 for it and log 4 for the other.
    odds, y = torch.tensor([[log(3), 0.0]]).expand(4, 2), torch.tensor([0, 0, 0, 1])
    right, wrong = log(4 / 3), log(4)
    mean = (3 * right + wrong) / 4
    term = AuxiliaryClassifier(d_weight=2.0, g_weight=0.1)
    assert float(term.d(odds, -odds, y)) == pytest.approx(2 * (mean + (3 * wrong + right) / 4), abs=1e-6)
    assert float(AuxiliaryClassifier(on_fakes=False).d(odds, -odds, y)) == pytest.approx(mean, abs=1e-6)
    assert float(term.g(odds, y)) == pytest.approx(0.1 * mean, abs=1e-6)


def test_both_players_get_the_term_of_the_fakes_they_drew():
    torch.manual_seed(0)
    gan, x, y = (
        GAN(*acgan_players(), classification=AuxiliaryClassifier()),
        torch.randn(6, 1, 8, 8),
        torch.arange(6) % 3,
    )
    torch.manual_seed(1)
    terms = gan.d_loss(x, y)
    torch.manual_seed(1)
    fake = gan.G(gan.G.sample_z(6), y)
    real_says, fake_says = gan.D.judge(x, y), gan.D.judge(fake, y)
    assert terms.keys() == {"d/adv", "d/class"}
    assert torch.allclose(terms["d/adv"], NonSaturating().d(real_says.logits, fake_says.logits))
    wanted = cross_entropy(real_says.classes, y) + cross_entropy(fake_says.classes, y)
    assert torch.allclose(terms["d/class"], wanted)
    torch.manual_seed(1)
    terms = gan.g_loss(x, y)
    assert terms.keys() == {"g/adv", "g/class"}
    assert torch.allclose(terms["g/class"], cross_entropy(fake_says.classes, y))


@pytest.mark.parametrize(
    ("players", "term"), [(acgan_players, None), (concat_players, AuxiliaryClassifier())], ids=["head", "term"]
)
def test_a_head_without_a_term_and_a_term_without_a_head_are_refused(players, term):
    with pytest.raises(ValueError, match="need each other"):
        GAN(*players(), classification=term)


# --- samples ------------------------------------------------------------------------------------------------


def test_samples_come_with_the_classes_they_were_drawn_for():
    torch.manual_seed(0)
    gan = GAN(*projection_players())
    torch.manual_seed(1)
    images, y = gan.sample_labelled(40)
    assert torch.equal(images, gan.generate_image(replayed(gan, 40), y))
    torch.manual_seed(1)
    assert torch.equal(gan.sample(40), images)
    assert set(y.tolist()) == {0, 1, 2}
    assert GAN(*mlps()).sample_labelled(2)[1] is None


def replayed(gan: GAN, n: int) -> Tensor:
    """The noise that comes after ``n`` labels."""
    torch.manual_seed(1)
    torch.randint(3, (n,))
    return gan.G.sample_z(n)


def test_a_sheet_shows_a_class_a_column_and_a_noise_a_row(tmp_path):
    torch.manual_seed(0)
    gan = GAN(*projection_players(), seed=5)
    with torch.no_grad():  # so that classes differ
        gan.G.generator.layers[1].gain.weight.mul_(torch.tensor([1.0, 0, -1])[:, None])
    before = torch.get_rng_state()
    sheet = gan.panels()["samples"]
    assert same(before, torch.get_rng_state())
    assert sheet.shape == (8, 3, 1, 8, 8)
    torch.manual_seed(key(5, 1))
    z = gan.G.sample_z(8)
    for column in range(3):
        assert torch.equal(sheet[:, column], gan.generate_image(z, torch.full((8,), column)))
    assert not torch.equal(sheet[:, 0], sheet[:, 1])
    run = SimpleNamespace(default_root_dir=tmp_path, loggers=[], is_global_zero=True)
    shown = ImageGrid(columns=16)
    shown.write(run, gan)
    with Image.open(shown.last) as picture:
        assert torch.equal(torch.from_numpy(np.array(picture))[None], grid(sheet.flatten(0, 1), columns=3))
