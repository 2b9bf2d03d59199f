"""Real pairs in two folders: paired by name, and one sentence where they do not pair up."""

import numpy as np
import pytest
import torch
from command_line import place
from test_denoising import drawn, image, made, save

from datamodules.denoising import NoisyCleanFolders

pytestmark = pytest.mark.usefixtures(place.__name__, made.__name__)


def test_real_pairs_bear_one_name(made):
    data = NoisyCleanFolders(["mine/real"], ["mine/real"], patch=8, root="data")
    (pairs,) = data.pairs()
    assert (pairs.name, pairs.scale) == ("real", 1)
    for i, (x, y) in zip((20, 30), pairs.pairs, strict=True):
        for part, pixels in ((y, image(i, channels=3)), (x, image(i + 1, channels=3))):
            assert np.array_equal(part[0].permute(1, 2, 0).numpy(), pixels)
    x, y = drawn(data, torch.tensor([0, 1]))
    assert x.shape == y.shape == (2, 3, 8, 8)
    grey = NoisyCleanFolders(["mine/real"], ["mine/real"], patch=8, root="data", colour="grey")
    assert [part.shape[1] for part in drawn(grey, torch.tensor([0]))] == [1, 1]


PAIRS = {
    "noisy/c has no namesake in clean": lambda f: save(f / "noisy/c.png", image(1)),
    "clean/b has no namesake in noisy": lambda f: (f / "noisy/b.png").unlink(),
    "of a, noisy is 20 x 23 RGB and clean is 20 x 24 RGB": lambda f: save(f / "noisy/a.png", image(1, 23, 20, 3)),
    "of b, noisy is 20 x 24 RGB and clean is 20 x 24 grey": lambda f: save(f / "clean/b.png", image(1)),
    "real/clean holds no images": lambda f: [path.unlink() for path in (f / "clean").iterdir()],
    "a.png gives no image (empty file)": lambda f: (f / "noisy/a.png").write_bytes(b""),
}


@pytest.mark.parametrize("sentence", PAIRS)
def test_real_pairs_that_do_not_pair_up_are_named(made, sentence):
    PAIRS[sentence](made / "real")
    with pytest.raises(ValueError) as error:  # noqa: PT011
        NoisyCleanFolders([], ["mine/real"], root="data").setup("test")
    assert sentence in str(error.value)
    assert "data/mine/real" in str(error.value)
    assert "\n" not in str(error.value)
