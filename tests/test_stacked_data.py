"""Laws of Stacked MNIST: which digits a stack holds, what it is called, and that only batches are ever gathered."""

import itertools
import os

import pytest
import torch
from test_data import write_mnist

from datamodules.base import ImageSet
from datamodules.mnist import MNIST
from datamodules.stacked import StackedMNIST, StackSet
from lightning_modules.metrics.extractors import load_extractor


def stacks_of(root, **settings) -> StackedMNIST:
    """Sixty stacks of the fifteen digits that are written below ``root``."""
    return StackedMNIST(**{"stacks": 60, "root": str(root), **settings})


@pytest.fixture
def root(tmp_path):
    write_mnist(tmp_path)
    return tmp_path


def test_a_stack_holds_three_digits_of_both_splits_and_is_called_by_their_classes(root):
    digits = [MNIST(28, str(root)).reference(split) for split in ("train", "test")]
    images, classes = (torch.cat([getattr(part, name) for part in digits]) for name in ("images", "labels"))
    data = stacks_of(root)
    train = data.reference("train")
    assert (train[:].shape, train[:].dtype, len(train)) == ((60, 3, 28, 28), torch.uint8, 60)
    seen = set()
    for stack, label in zip(train[:], train.labels.tolist(), strict=True):
        number = [int((images[:, 0] == channel).all(dim=(1, 2)).nonzero()) for channel in stack]
        a, b, c = (int(classes[i]) for i in number)
        assert label == a + 10 * b + 100 * c
        assert data.class_names[label] == f"{a}{b}{c}"
        seen.update(number)
    assert seen == set(range(15))  # also the five of the test split
    assert (data.num_classes, data.image_shape, data.value_range) == (1000, (3, 28, 28), (-1.0, 1.0))


def test_the_hash_is_that_of_the_images_themselves(root):
    for split, n in (("train", 60), ("test", 26_000)):  # of less than one part that is hashed at once, and of many
        stacks = stacks_of(root).reference(split)
        assert isinstance(stacks, StackSet)
        assert len(stacks) == n
        assert stacks.sha256 == ImageSet("other", split, stacks.x, stacks.labels).sha256


def test_stacks_are_a_function_of_their_draw_and_the_order_of_the_seed(root):
    def found(**settings) -> tuple[str, list[int]]:
        data = stacks_of(root, batch_size=30, **settings)
        _, y = next(iter(data.train_dataloader()))
        return data.reference("train").sha256, y.tolist()

    first = found()
    assert found() == first
    assert found(draw=1)[0] != first[0]
    other_order = found(seed=1)
    assert other_order[0] == first[0]
    assert other_order[1] != first[1]
    data = stacks_of(root)
    assert not torch.equal(data.reference("train")[:60], data.reference("test")[:60])


def test_a_batch_is_gathered_at_once_and_only_it(root, monkeypatch):
    monkeypatch.setattr(StackSet, "x", property(lambda self: pytest.fail("all stacks were gathered")))
    calls = []
    take = StackSet.take
    monkeypatch.setattr(StackSet, "take", lambda self, index: calls.append(index) or take(self, index))
    data = stacks_of(root, batch_size=50)
    (x, y), (again, _) = itertools.islice(data.train_dataloader(), 2)
    assert [len(index) for index in calls] == [50, 50]
    assert (x.shape, x.dtype, y.shape) == ((50, 3, 28, 28), torch.uint8, (50,))
    train = data.reference("train")
    assert torch.equal(x, torch.cat([train[i : i + 1] for i in calls[0].tolist()]))
    assert torch.equal(y, train.labels[calls[0]])
    assert not torch.equal(x, again)
    [(x, y)] = data.val_dataloader()
    test = data.reference("test")
    assert torch.equal(x, test[:64])
    assert torch.equal(y, test.labels[:64])


def test_at_32_px_each_channel_is_padded_with_black(root):
    small, large = (stacks_of(root, size=size).reference("train")[:] for size in (28, 32))
    assert torch.equal(large[..., 2:-2, 2:-2], small)
    assert large.sum() == small.sum()


def test_the_extractor_reads_stacks_and_numbers_their_modes_alike():
    if "ATELIER_DATA" not in os.environ:
        pytest.skip("ATELIER_DATA is not set: the real MNIST is not here")
    train = StackedMNIST().reference("train")
    assert len(train) == 128_000
    assert len(train.labels.unique()) == 1000
    found = load_extractor("stacked-mnist-cnn")(train[:200]).logits.argmax(1)
    assert (found == train.labels[:200]).float().mean() > 0.97  # three digits of 99.6 % each


def test_absent_files_are_named_as_mnists_are(tmp_path):
    sentences = []
    for data in (StackedMNIST(root=str(tmp_path)), MNIST(root=str(tmp_path))):
        for fail in (data.prepare_data, lambda data=data: data.setup("fit")):
            with pytest.raises(FileNotFoundError, match=r"data\.init_args\.root") as error:
                fail()
            sentences.append(str(error.value))
    assert len(set(sentences)) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": 30}, "28, or 32 by padding, not 30: change data.init_args.size"),
        ({"stacks": 0}, "stacks is 0: set data.init_args.stacks to 1 or more"),
    ],
)
def test_a_wrong_setting_is_named(settings, words):
    with pytest.raises(ValueError, match=words):
        StackedMNIST(**settings)
