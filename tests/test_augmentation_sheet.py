"""Laws of the contact sheet: whose images it shows, in which columns, and that it disturbs nothing."""

import pytest
import torch

from datamodules.augment import HorizontalFlip, Shift
from datamodules.augment_colour import Dequantise
from datamodules.contact_sheet import contact_sheet
from datamodules.digits import Digits


def test_the_first_column_is_the_training_split_at_even_distances():
    data = Digits(size=8, augment=[Shift(3)])
    train = data.reference("train")
    sheet = contact_sheet(data, images=5, variants=2)
    assert (sheet.shape, sheet.dtype) == ((5, 3, 1, 8, 8), torch.uint8)
    assert torch.equal(sheet[:, 0], train.images[[0, 287, 574, 862, 1149]])  # 1437 images, a fifth apart


def test_every_variant_is_its_rows_image_augmented():
    sheet = contact_sheet(Digits(size=8, augment=[HorizontalFlip(1)]))
    assert sheet.shape == (8, 9, 1, 8, 8)
    assert torch.equal(sheet[:, 1:], sheet[:, :1].flip(-1).expand(8, 8, 1, 8, 8))


def test_variants_differ_and_follow_the_seed():
    data = Digits(size=8, augment=[Shift(3)])
    sheet, again, other = (contact_sheet(data, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(sheet, again)
    assert not torch.equal(sheet, other)
    assert all(len(row[1:].unique(dim=0)) > 4 for row in sheet)


def test_without_augmentation_all_columns_are_equal():
    sheet = contact_sheet(Digits(size=8))
    assert (sheet == sheet[:, :1]).all()


def test_the_random_stream_and_the_data_are_left_as_they_were():
    data = Digits(size=8, augment=[Shift(3), Dequantise()])
    before = data.reference("train").images.clone()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    contact_sheet(data)
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(data.reference("train").images, before)


@pytest.mark.parametrize(("images", "variants"), [(0, 8), (8, 0), (1438, 1)])
def test_an_impossible_sheet_is_named(images, variants):
    with pytest.raises(ValueError, match=f"{images} images and {variants} variants: give 1 to 1437 images"):
        contact_sheet(Digits(size=8), images, variants)
