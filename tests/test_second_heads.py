"""Terms on D's second head, by hand: twin and dual classifiers, the multi-class hinge, contrast."""

from math import exp, log
from pathlib import Path
from typing import Any

import pytest
import torch
from test_conditional import projection_players
from test_ranks import WORLD, both
from torch import Tensor
from torch.nn.functional import normalize
from toys import Finite, batches, dcgans, trainer

from lightning_modules.gan import GAN
from lightning_modules.losses.adversarial import Silent
from lightning_modules.losses.classification import (
    AuxiliaryClassifier,
    ClassificationTerm,
    DiscriminativeClassifier,
    MultiHinge,
    TwinAuxiliaryClassifiers,
    crammer_singer,
)
from lightning_modules.losses.contrastive import ConditionalContrastive, DataToDataCrossEntropy, EmbeddingTerm
from lightning_modules.losses.regularisers import Regulariser, RotationTask
from lightning_modules.networks.base import Discriminator
from lightning_modules.networks.conditional import AuxiliaryDiscriminator, ContrastiveDiscriminator
from lightning_modules.networks.wrapped import SecondHeadDiscriminator

# --- logits -------------------------------------------------------------------------------------------------


def test_twins_judge_reals_and_fakes_apart() -> None:
    """Class 0 of 2: P(0) = 1/2 for the classifier of reals, Q(0) = 3/4 for that of fakes."""
    said, y = torch.tensor([[0.0, 0.0, log(3.0), 0.0]]), torch.tensor([0])
    term = TwinAuxiliaryClassifiers(d_weight=2.0, g_weight=0.5)
    assert term.d(said, said, y).item() == pytest.approx(2 * (log(2) + log(4 / 3)))
    assert term.g(said, y).item() == pytest.approx(0.5 * (log(2) - log(4 / 3)))


def test_a_dual_classifier_knows_real_and_fake_classes() -> None:
    """Four answers of weights 1, 1, 3, 1: a real 0 has 1/6, a fake 0 a half."""
    said, y = torch.tensor([[0.0, 0.0, log(3.0), 0.0]]), torch.tensor([0])
    term = DiscriminativeClassifier(d_weight=2.0, g_weight=0.5)
    assert term.d(said, said, y).item() == pytest.approx(2 * (log(6) + log(2)))
    assert term.g(said, y).item() == pytest.approx(0.5 * (log(6) - log(2)))


def test_the_hinge_of_crammer_and_singer() -> None:
    scores = torch.tensor([[2.0, 0.5, 1.5], [3.0, 1.0, 0.0]])
    assert crammer_singer(scores, torch.tensor([0, 0])).item() == pytest.approx((0.5 + 0.0) / 2)
    assert crammer_singer(scores, torch.tensor([1, 2])).item() == pytest.approx((2.5 + 4.0) / 2)
    scores.requires_grad_()
    (slope,) = torch.autograd.grad(crammer_singer(scores, torch.tensor([1, 2])), scores)
    assert slope.tolist() == [[0.5, -0.5, 0.0], [0.5, 0.0, -0.5]]


def test_the_multi_class_hinge_has_fakes_for_a_class() -> None:
    real, fake, y = torch.tensor([[2.0, 0.5, 1.5]]), torch.tensor([[1.0, 0.0, 0.5]]), torch.tensor([0])
    term = MultiHinge()
    assert term.d(real, fake, y).item() == pytest.approx(0.5 + (1 - 0.5 + 1.0))
    assert term.g(fake, y).item() == pytest.approx(0.05 * (1 - 1.0 + 0.5))


def test_a_silent_loss_leaves_its_head_zeros() -> None:
    logits = torch.ones(3, requires_grad=True)
    (Silent().d(logits, logits) + Silent().g(None, logits)).backward()
    assert logits.grad is not None
    assert not logits.grad.any()


# --- embeddings ---------------------------------------------------------------------------------------------

E_ = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])  # cosines: .6 (0, 1), 0 (0, 2), .8 (1, 2)
V = torch.tensor([[0.8, 0.6], [1.0, 0.0], [0.0, 1.0]])  # cosines to their own: .8, .6, 1
Y = torch.tensor([0, 0, 1])


def test_contrast_by_hand() -> None:
    wanted = [
        (exp(0.8) + exp(0.6)) / (exp(0.8) + exp(0.6) + exp(0.0)),
        (exp(0.6) + exp(0.6)) / (exp(0.6) + exp(0.6) + exp(0.8)),
        exp(1.0) / (exp(1.0) + exp(0.0) + exp(0.8)),
    ]
    found = ConditionalContrastive(weight=2.0).d(torch.cat([E_, V], 1), torch.empty(0), Y)
    assert found.item() == pytest.approx(-2 * sum(map(log, wanted)) / 3, rel=1e-6)


def test_contrast_of_a_temperature() -> None:
    found = ConditionalContrastive(temperature=0.5).g(torch.cat([E_, V], 1), Y)
    half = ConditionalContrastive().g(torch.cat([E_, V], 1) * 2**0.5, Y)
    assert found.item() == pytest.approx(half.item(), rel=1e-6)


def test_data_to_data_cross_entropy_by_hand() -> None:
    """Margins .9 and .1, T = .5: what is good enough adds e^0, not nothing."""
    easy = [(0.8 - 0.9) / 0.5, (0.6 - 0.9) / 0.5, 0.0]
    hard = [[0.0], [(0.8 - 0.1) / 0.5], [0.0, (0.8 - 0.1) / 0.5]]
    wanted = [log(exp(p) + sum(map(exp, n))) - p for p, n in zip(easy, hard, strict=True)]
    found = DataToDataCrossEntropy(weight=1.0, margin=0.9).g(torch.cat([E_, V], 1), Y)
    assert found.item() == pytest.approx(sum(wanted) / 3, rel=1e-6)


def test_a_contrastive_head_embeds_image_and_class_on_the_sphere() -> None:
    D = ContrastiveDiscriminator(dcgans()[1], num_classes=3, embedding=6)
    x, y = torch.randn(5, 1, 8, 8), torch.tensor([0, 1, 2, 2, 1])
    e, v = D.judge(x, y).classes.chunk(2, dim=1)
    assert torch.allclose(e.norm(dim=1), torch.ones(5))
    assert torch.allclose(v, normalize(D.embed.weight, dim=1)[y])
    assert torch.allclose(e, normalize(D.classify(D.features(x).flatten(1)), dim=1))


def contrasted(part: slice) -> tuple[Tensor, Tensor]:
    """The term of six images of which this rank has ``part``, and the gradient of the one weight behind them."""
    weight = torch.tensor(0.3, requires_grad=True)
    e = torch.cat([torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.ones(6, 1)], 1)
    e = normalize(e + weight * torch.arange(5), dim=1)
    rows, y = torch.cat([e, e.roll(1, 1)], 1), torch.tensor([0, 1, 0, 2, 1, 1])
    term = DataToDataCrossEntropy().g(rows[part], y[part])
    (gradient,) = torch.autograd.grad(term, weight)
    return term.detach(), gradient


def on_a_rank(rank: int, folder: Path) -> dict[str, Any]:
    """Half of the images; gradients are averaged as DDP does."""
    torch.distributed.init_process_group("gloo", rank=rank, world_size=WORLD)
    term, gradient = contrasted(slice(3 * rank, 3 * rank + 3))
    torch.distributed.all_reduce(gradient)
    return {"term": term.item(), "gradient": gradient.item() / WORLD}


def test_ranks_contrast_the_whole_batch(tmp_path: Path) -> None:
    term, gradient = contrasted(slice(None))
    for found in both(on_a_rank, tmp_path):
        assert found == {
            "term": pytest.approx(term.item(), rel=1e-5),
            "gradient": pytest.approx(gradient.item(), rel=1e-5),
        }


# --- fit ----------------------------------------------------------------------------------------------------


def head(outputs: int | None = None, embedding: int | None = None) -> Discriminator:
    inner = projection_players(3)[1]
    return (
        AuxiliaryDiscriminator(inner, 3, outputs=outputs)
        if embedding is None
        else ContrastiveDiscriminator(inner, 3, embedding)
    )


@pytest.mark.parametrize(
    ("D", "term"),
    [
        (head(6), TwinAuxiliaryClassifiers()),
        (head(6), DiscriminativeClassifier()),
        (head(4), MultiHinge()),
        (head(embedding=8), ConditionalContrastive()),
        (head(embedding=8), DataToDataCrossEntropy()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_every_weight_of_both_players_learns(D: Discriminator, term: ClassificationTerm, tmp_path: Path) -> None:
    G = projection_players(3)[0]
    before = {name: weight.clone() for name, weight in (*G.named_parameters(), *D.named_parameters())}
    module = GAN(G, D, classification=term)
    data = Finite([(x, y % 3) for x, y in batches(2)])
    trainer(tmp_path, max_steps=2).fit(module, datamodule=data)
    after = dict((*G.named_parameters(), *D.named_parameters()))
    assert not [name for name, weight in after.items() if torch.equal(weight, before[name])]


@pytest.mark.parametrize(
    ("D", "terms", "sentence"),
    [
        (head(3), {"classification": MultiHinge()}, "MultiHinge reads 4 numbers of D's second head, Aux.* gives 3 num"),
        (head(6), {"classification": ConditionalContrastive()}, "reads embeddings of .*, Auxiliary.* gives 6 numbers"),
        (head(embedding=8), {"classification": AuxiliaryClassifier()}, "reads 3 numbers .*, Contr.* gives embeddings"),
        (head(4), {"classification": MultiHinge(), "regularisers": [RotationTask()]}, "one second head: leave one out"),
        (head(4), {}, "here is one alone: give both, or neither"),
        (dcgans()[1], {"regularisers": [RotationTask()]}, "here is one alone: give both, or neither"),
    ],
)
def test_what_does_not_fit_is_refused(
    D: Discriminator, terms: dict[str, ClassificationTerm | list[Regulariser]], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        GAN(dcgans()[0], D, **terms)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DataToDataCrossEntropy(margin=0.0), "margin is a cosine above 0"),
        (lambda: ConditionalContrastive(temperature=0.0), "temperature must be above 0"),
        (lambda: MultiHinge(d_weight=0.0), "d_weight must be above 0"),
        (lambda: SecondHeadDiscriminator(dcgans()[1], outputs=0), "outputs must be 1 or more, got 0"),
    ],
)
def test_settings_out_of_range_are_refused(make: type[EmbeddingTerm], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
