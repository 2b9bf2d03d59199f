"""The store of earlier images: what is kept, what is shown, and that nothing is lost or doubled."""

import pytest
import torch

from lightning_modules.history import History


def images(*values: float) -> torch.Tensor:
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2).clone()


def values(x: torch.Tensor | None) -> list[float]:
    assert x is not None
    return x[:, 0, 0, 0].tolist()


def test_while_it_fills_new_images_are_kept_and_shown() -> None:
    history = History(3)
    assert values(history.exchange(images(1, 2))) == [1, 2]
    assert len(history) == 2
    shown = history.exchange(images(3))
    assert values(shown) == [3]
    assert values(history.images) == [1, 2, 3]
    shown.fill_(9)
    assert values(history.images) == [1, 2, 3]  # a copy


def test_a_full_one_shows_the_new_image_or_gives_an_old_one_for_it() -> None:
    torch.manual_seed(0)
    history = History(3)
    history.exchange(images(0, 1, 2))
    new = 0
    for i in range(3, 600):
        held = values(history.images)
        (shown,) = values(history.exchange(images(i)))
        if shown == i:
            new += 1
            assert values(history.images) == held
        else:
            assert shown in held
            assert sorted([*values(history.images), shown]) == sorted([*held, i])
    assert new / 597 == pytest.approx(0.5, abs=0.08)


def test_every_place_is_taken_equally_often() -> None:
    torch.manual_seed(0)
    history, taken = History(4), torch.zeros(4)
    history.exchange(images(0, 1, 2, 3))
    for i in range(4, 1004):
        before = torch.tensor(values(history.images))
        history.exchange(images(i))
        taken += torch.tensor(values(history.images)) != before
    assert (taken / taken.sum() - 0.25).abs().max() < 0.05


def test_a_checkpoints_images_follow_the_new_ones_to_their_device() -> None:
    history = History(4)
    history.images = images(0, 1)  # on the CPU, and not yet full
    shown = history.exchange(images(2).to("meta"))
    assert shown.device == history.images.device == torch.device("meta")
    assert len(history) == 3


@pytest.mark.parametrize("stored", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("new", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("held", [2, 3])
def test_a_checkpoints_images_follow_the_new_ones_to_their_precision(
    stored: torch.dtype, new: torch.dtype, held: int
) -> None:
    history = History(3)
    history.images = images(*range(held)).to(stored)
    shown = history.exchange(images(3, 4).to(new))
    assert shown.dtype == history.images.dtype == new
    assert sorted([*values(history.images), *values(shown)[3 - held :]]) == [*range(held), 3, 4]


def test_a_batch_takes_different_places_and_loses_nothing() -> None:
    torch.manual_seed(0)
    history = History(4)
    assert values(history.exchange(images(0, 1, 2))) == [0, 1, 2]
    shown = history.exchange(images(3, 4, 5, 6))  # the first fills it
    assert values(shown)[0] == 3
    assert sorted([*values(history.images), *values(shown)[1:]]) == [0, 1, 2, 3, 4, 5, 6]
    larger = history.exchange(images(*range(10, 20)))
    assert len(larger) == 10
    assert len(history) == 4


def test_none_is_kept_where_none_is_asked_for() -> None:
    history = History(0)
    assert values(history.exchange(images(1))) == [1]
    assert len(history) == 0
    with pytest.raises(ValueError, match="history is -1: give the number of images"):
        History(-1)
