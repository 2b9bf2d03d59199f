"""Laws of the scores of a generator that is asked for classes: by hand, whatever the batches, and only with labels."""

from dataclasses import replace
from math import isnan

import pytest
import torch
from looking import gaussian, shuffled
from noise_sets import SHAPE, Counting, noise, own_cache, pictures
from torch import Tensor

from datamodules.base import ImageSet
from datamodules.digits import Digits
from lightning_modules.metrics import evaluate as evaluation
from lightning_modules.metrics.base import Look, Setting, labels_of
from lightning_modules.metrics.classification_accuracy import ClassificationAccuracy, LabelledReference
from lightning_modules.metrics.conditional import AskedShare, ClassMoments, IntraFrechetDistance
from lightning_modules.metrics.evaluate import evaluate, fakes, floor, protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.frechet import FrechetDistance, frechet_distance, moments
from lightning_modules.metrics.standard import metrics_named

pytestmark = pytest.mark.usefixtures(own_cache.__name__)


def shown(metric, samples: Tensor, labels: Tensor, reference=None, batches=None):
    """What ``metric`` computes of ``samples`` (which are features and logits too) of the classes ``labels``."""
    metric.begin(Setting(tuple(samples.shape[1:]), 1, 3, len(samples), reference or {}, classes=int(labels.max()) + 1))
    flat = samples.flatten(1).double()
    for index in batches or [torch.arange(len(samples))]:
        metric.update(Look(samples[index], index, flat[index], flat[index], labels[index]))
    return {name: value.item() if value.ndim == 0 else value for name, value in metric.compute().items()}


def intra(fake: Tensor, y: Tensor, real: Tensor, real_y: Tensor, batches=None) -> float:
    wide = [IntraFrechetDistance(), ClassMoments()]
    for metric in wide:  # `shown` says that features have one dimension
        begin = metric.begin
        metric.begin = lambda setting, begin=begin: begin(replace(setting, dim=fake.shape[1]))
    known = shown(wide[1], real, real_y)
    return shown(wide[0], fake, y, {ClassMoments.kind: known}, batches)["intra_fid"]


# --- the share of what was asked for ------------------------------------------------------------------------


def test_asked_share_by_hand():
    said, y = torch.eye(3)[[0, 0, 0, 1, 2, 2]], torch.tensor([0, 0, 1, 1, 2, 2])
    assert shown(AskedShare(), said, y) == pytest.approx({"asked": 5 / 6, "asked_min": 1 / 2})


def test_a_class_that_was_never_asked_for_is_not_the_smallest_share():
    assert shown(AskedShare(), torch.eye(3)[[0, 1]], torch.tensor([0, 1])) == {"asked": 1, "asked_min": 1}


# --- intra-class distance -----------------------------------------------------------------------------------


def test_intra_class_distance_by_hand():
    # Class 0: means 0 and 2, equal variances: 4. Class 1: equal means, variances 8 and 2: (8^.5 - 2^.5)^2 = 2.
    fake, real = torch.tensor([[-1.0], [1], [-2], [2]]), torch.tensor([[1.0], [3], [-1], [1]])
    y = torch.tensor([0, 0, 1, 1])
    assert intra(fake, y, real, y) == pytest.approx((4 + 2) / 2)


def test_of_a_set_with_itself_it_is_zero_and_of_exchanged_classes_it_is_not():
    x = torch.cat([gaussian(60, 4, 1), gaussian(60, 4, 2, 5.0), gaussian(60, 4, 3, -5.0)])
    y = torch.arange(180) // 60
    assert intra(x, y, x, y) == pytest.approx(0, abs=1e-6)
    exchanged = intra(x, (y + 1) % 3, x, y)
    assert frechet_distance(moments(x), moments(x)) == pytest.approx(0, abs=1e-6)  # of which the whole sees nothing
    a, b, c = (moments(x[y == k]) for k in range(3))
    wanted = (frechet_distance(a, c) + frechet_distance(b, a) + frechet_distance(c, b)) / 3
    assert exchanged == pytest.approx(float(wanted))


@pytest.mark.parametrize("batch", [1, 7])
def test_batches_and_their_order_do_not_matter(batch):
    fake, real = gaussian(60, 3, 1), gaussian(50, 3, 2, 1.0)
    y, real_y = torch.arange(60) % 3, torch.arange(50) % 3
    assert intra(fake, y, real, real_y, shuffled(60, batch)) == pytest.approx(intra(fake, y, real, real_y))


def test_a_class_of_one_image_has_no_distance():
    x, y, one = torch.randn(6, 2), torch.tensor([0, 0, 1, 1, 2, 2]), torch.tensor([0, 0, 1, 1, 2, 1])
    assert isnan(intra(x, one, x, y))
    with pytest.raises(ValueError, match="the reference has 1 of class 2"):
        intra(x, y, x, one)


# --- classification accuracy --------------------------------------------------------------------------------


def accuracy(fake: ImageSet, y: Tensor, real: ImageSet, batches=None) -> float:
    known = shown(LabelledReference(100), real.images, real.labels)
    metric = ClassificationAccuracy(steps=60, width=4, tested=100)
    return shown(metric, fake.images, y, {"first 100 images and their classes": known}, batches)["cas"]


def test_a_classifier_learns_what_the_samples_show():
    data = Digits(size=16)
    train, test = data.reference("train"), data.reference("test")
    state = torch.get_rng_state()
    right = accuracy(train, train.labels, test)
    assert torch.equal(torch.get_rng_state(), state)
    assert right > 0.8
    assert accuracy(train, (train.labels + 1) % 10, test) < 0.1
    torch.manual_seed(5)  # which it does not heed
    with torch.inference_mode():  # in which Lightning validates
        assert accuracy(train, train.labels, test, shuffled(len(train), 500)) == right


def test_small_images_and_no_training_are_refused():
    with pytest.raises(ValueError, match="sides of 16 pixels"):
        ClassificationAccuracy().check((1, 8, 8))
    with pytest.raises(ValueError, match="1 or more"):
        ClassificationAccuracy(steps=0)


# --- in an evaluation ---------------------------------------------------------------------------------------

METRICS = [AskedShare(), IntraFrechetDistance(), FrechetDistance()]


def labelled(n: int, split: str = "train") -> ImageSet:
    images = pictures(n, split, seed=len(split))
    return replace(images, labels=torch.arange(n) % 3)


def asked(n: int) -> tuple[Tensor, Tensor]:
    """Noise whose class is its largest number, which is what ``Identity`` takes for its logits."""
    images = noise(n)
    return images, images[:, 0, 0].argmax(1)


class Three(Counting):
    """Three classes, whose logits are the first three numbers."""

    def extract(self, image):
        features, _ = super().extract(image)
        return super().extract(image)._replace(logits=features[:, :3])


def test_an_evaluation_knows_what_was_asked_for_and_its_floor():
    reference, real, extractor = labelled(90), labelled(60, "test"), Three(SHAPE, 3)
    given = protocol_for(reference, extractor, 150, METRICS, labels="uniform", real=real)
    scores = evaluate(asked, reference, given, extractor, METRICS)
    assert scores["asked@identity"] == scores["asked_min@identity"] == 1
    drawn = list(fakes(asked, given, SHAPE))
    x, y = (torch.cat([block[i] for block in drawn]) for i in (0, 2))
    wanted = [
        frechet_distance(moments(reference.images[reference.labels == k].flatten(1)), moments(x[y == k].flatten(1)))
        for k in range(3)
    ]
    assert scores["intra_fid@identity"] == pytest.approx(float(sum(wanted)) / 3)
    least = floor(real, reference, given, extractor, METRICS)
    assert least["asked@identity"] == (real.images[:, 0, 0].argmax(1) == real.labels).double().mean()


def test_statistics_of_classes_are_kept_by_their_labels():
    reference, extractor = labelled(90), Three(SHAPE, 3)
    other = replace(reference, labels=reference.labels.roll(1))
    found = []
    for images in (reference, other):
        given = protocol_for(images, extractor, 150, METRICS, labels="uniform")
        found.append(evaluate(asked, images, given, extractor, METRICS))
    assert found[0]["fid@identity"] == found[1]["fid@identity"]
    assert found[0]["intra_fid@identity"] != found[1]["intra_fid@identity"]


@pytest.mark.parametrize("world", [2, 3])
def test_labels_stay_with_their_samples_on_every_rank(world, monkeypatch):
    given = protocol_for(labelled(90), Three(SHAPE, 3), 337, METRICS, labels="uniform")
    one = torch.cat([labels for *_, labels in fakes(asked, given, SHAPE)])
    together = torch.zeros_like(one)
    for rank in range(world):
        monkeypatch.setattr(evaluation, "rank_and_world", lambda rank=rank: (rank, world))
        for _, index, labels in fakes(asked, given, SHAPE):
            together[index] = labels
    assert torch.equal(together, one)


def test_mirror_images_have_the_class_of_their_original():
    images = labelled(30)
    twice = replace(
        images, images=torch.cat([images.images, images.images.flip(-1)]), labels=torch.cat([images.labels] * 2)
    )
    extractor, scores = Three(SHAPE, 3), []
    for reference, mirror in ((images, True), (twice, False)):
        given = protocol_for(reference, extractor, 150, METRICS, labels="uniform")
        scores.append(
            evaluate(asked, reference, replace(given, reference_mirror=mirror), extractor, METRICS)[
                "intra_fid@identity"
            ]
        )
    assert scores[0] == pytest.approx(scores[1])


def test_without_classes_they_are_refused_and_left_out_of_all():
    extractor, reference = Identity((1, 32, 32), 10), Digits(size=32).reference("test")
    for metric in (AskedShare(), IntraFrechetDistance(), ClassificationAccuracy()):
        with pytest.raises(ValueError, match=f"{type(metric).__name__} asks which class each sample was drawn for"):
            protocol_for(reference, extractor, 100, [metric])
    for labels, names in (("none", set()), ("uniform", {"asked", "intra_fid", "cas"})):
        metrics = metrics_named(["all"], [], extractor, (1, 32, 32), 360, labels)
        assert {name for metric in metrics for name in metric.names} & {"asked", "intra_fid", "cas"} == names


def test_samples_that_come_without_their_classes_are_named():
    reference, extractor = labelled(90), Three(SHAPE, 3)
    given = protocol_for(reference, extractor, 150, METRICS, labels="uniform")
    with pytest.raises(ValueError, match="came without the classes"):
        evaluate(noise, reference, given, extractor, METRICS)


def test_only_sets_with_labels_have_labels():
    class Bare:
        name = split = sha256 = "bare"

        def __len__(self):
            return 2

        def __getitem__(self, part):
            return noise(2)[part]

    assert len(labels_of(Bare())) == 0
    assert len(labels_of(labelled(5))) == 5
