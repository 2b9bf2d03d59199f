"""Gatys, Johnson and AdaIN on toys: what is mixed, masked and kept, resuming, learning."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from resuming import ends_alike
from torch import Tensor, nn
from torch.optim import LBFGS, Adam
from toys import Listed, sgd, trainer

from datamodules.functional.statistics import adain, moments
from datamodules.single_image import Again
from datamodules.style import Styled
from lightning_modules.callbacks.clock import Clock
from lightning_modules.callbacks.transfer_scores import TransferScores
from lightning_modules.image_optimisation import ImageOptimisation
from lightning_modules.losses.reconstruction import TotalVariation
from lightning_modules.losses.style import Content, GramStyle, MomentStyle
from lightning_modules.networks.base import FeatureMaps
from lightning_modules.networks.pixels import Pixels
from lightning_modules.networks.random_filters import RandomFilters
from lightning_modules.networks.style import StyleDecoder, StyleTransformer
from lightning_modules.style_transfer import AdaptiveStyle, FastStyle
from lightning_modules.tools.restoration import Restorer

S = 16


class Seen(FeatureMaps):
    """The image itself, as the only layer."""

    title, widths, minimum = "itself", {"x": 3}, 1

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.looks += 1
        return {"x": x}


def images(n: int, seed: int = 0, side: int = S) -> Tensor:
    return torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(seed))


class One(L.LightningDataModule):
    """One content, K styles, and a guide."""

    value_range, images_per_epoch, batch_size, out_shape = (0.0, 1.0), 1, 1, (3, S, S)

    def __init__(self, styles: int = 1, guide: Tensor | None = None) -> None:
        super().__init__()
        self.batch = Styled(images(1), images(styles, 1)[None], torch.ones(1, 1, S, S) if guide is None else guide)

    def held_out(self) -> Iterator[Styled]:
        yield self.batch

    def train_dataloader(self) -> Again:
        return Again(self.batch)

    def val_dataloader(self) -> Listed:
        return Listed([self.batch])


class Many(One):
    """Contents and styles in batches."""

    batch_size, images_per_epoch = 2, 8

    def __init__(self, styles: int = 1) -> None:
        super().__init__()
        self.whole_styles = images(styles, 1)
        self.train = [(images(2, i), images(2, 20 + i)) for i in range(4)]

    def train_dataloader(self) -> Listed:  # type: ignore[override]
        return Listed(self.train)


class Endless(Many):
    """The first of them without end."""

    def train_dataloader(self) -> Again:  # type: ignore[override]
        return Again(self.train[0])


def optimisation(**settings: Any) -> ImageOptimisation:
    torch.manual_seed(0)
    features = settings.pop("features", None) or Seen()
    return ImageOptimisation(Pixels((S, S)), features, **{"terms": [GramStyle(["x"])], **settings})


def fit(folder: Path, module: L.LightningModule, data: L.LightningDataModule, steps: int, *callbacks: Any) -> Any:
    trainer(folder, Clock(g_steps=steps), *callbacks).fit(module, datamodule=data)
    return module


# --- pixels --------------------------------------------------------------------------------------------------


def test_an_image_of_a_content_alone_becomes_it(tmp_path: Path) -> None:
    data = One()
    module = optimisation(terms=[Content(["x"])], optimizer=sgd(200.0))
    fit(tmp_path, module, data, 40)
    assert torch.allclose(module.restore(data.batch), data.batch.x, atol=1e-3)
    fresh = optimisation(terms=[Content(["x"])], from_content=True, optimizer=sgd(0.0))
    assert torch.equal(fit(tmp_path, fresh, data, 1).restore(data.batch), data.batch.x)


def test_styles_are_mixed_by_their_weights_and_looked_at_once(tmp_path: Path) -> None:
    data, features = One(styles=2), Seen()
    module = optimisation(style_weights=[3, 1], features=features)
    one, other = (GramStyle(["x"]).targets({"x": style})[0] for style in data.batch.y[0, :, None])
    fit(tmp_path, module, data, 3)
    assert module._wanted is not None
    assert torch.allclose(module._wanted[0][0], 0.75 * one + 0.25 * other)
    assert features.looks == 2 + 3  # content and styles once, then the image
    assert 0 <= module.pixels().min() <= module.pixels().max() <= 1
    assert "_eyes" not in " ".join(module.state_dict())
    with pytest.raises(ValueError, match=r"style_weights are \[1\] for 2 styles: give one for each"):
        fit(tmp_path, optimisation(style_weights=[1]), data, 1)


def test_outside_of_the_guide_the_content_stays(tmp_path: Path) -> None:
    guide = torch.zeros(1, 1, S, S)
    guide[..., : S // 2] = 1
    data = One(guide=guide)
    module = fit(tmp_path, optimisation(), data, 2)
    made = module.restore(data.batch)
    assert torch.equal(made[..., S // 2 :], data.batch.x[..., S // 2 :])
    assert torch.equal(made[..., : S // 2], module.pixels()[..., : S // 2])
    inside = GramStyle(["x"])({"x": made[..., : S // 2]}, module._wanted[0])
    assert torch.allclose(module.terms(*data.batch)["style"], inside)


def test_a_texture_comes_to_the_statistics_of_its_exemplar(tmp_path: Path) -> None:
    data, features = One(), RandomFilters(16, 3)
    terms = [GramStyle(["filters"], relative=True)]
    scores = TransferScores(features, [], ["filters"])
    module = optimisation(features=features, terms=terms, image_terms=[TotalVariation(0.0)])
    fit(tmp_path, module, data, 150, scores)
    first, last = (row["metrics"]["style@random-16x3px-s0"] for row in (scores.history[0], scores.history[-1]))
    assert last < 0.02 * first
    assert list(module.panels()) == ["styled", "picture"]
    assert module.panels()["styled"].shape[:3] == (1, 3, 3)


def line_search(parameters: Any) -> LBFGS:
    return LBFGS(parameters, max_iter=4, line_search_fn="strong_wolfe", tolerance_grad=0, tolerance_change=0)


def test_a_step_of_lbfgs_is_many_looks_and_worth_them(tmp_path: Path) -> None:
    """After as many looks its loss is a tenth of Adam's; what is logged is one look's, and no sum."""
    found = []
    for optimizer, steps in ((line_search, 10), (lambda p: Adam(p, lr=2e-2), None)):
        module = optimisation(features=RandomFilters(16, 3), terms=[GramStyle(["filters"], relative=True)])
        module.optimizer = optimizer
        fit(tmp_path, module, One(), steps or int(found[0][1]))
        found.append((module.row["train/style"].item(), module.images_seen))
    (searched, looks), (stepped, same) = found
    assert 40 < looks == same
    assert searched < 0.1 * stepped < 0.1


@pytest.mark.parametrize("settings", [{}, {"optimizer": line_search}], ids=["Adam", "L-BFGS"])
def test_an_optimised_image_goes_on_where_it_was_cut_off(tmp_path: Path, settings: dict[str, Any]) -> None:
    make = lambda: optimisation(terms=[GramStyle(["x"]), Content(["x"], 0.1)], **settings)  # noqa: E731
    ends_alike(tmp_path, make, One, [2, 5], 7)


def test_an_image_of_another_size_or_too_small_is_refused(tmp_path: Path) -> None:
    wrong = ImageOptimisation(Pixels((8, S)), Seen(), terms=[Content(["x"])])
    with pytest.raises(ValueError, match=r"the image is \[3, 8, 16\], the content \[3, 16, 16\]: set size of"):
        fit(tmp_path, wrong, One(), 1)
    small = ImageOptimisation(Pixels((8, 8)), RandomFilters(4, 9), terms=[GramStyle(["filters"])])
    with pytest.raises(ValueError, match="needs images of 9 px or more, these are 8 x 8: make size of model"):
        fit(tmp_path, small, One(), 1)
    with pytest.raises(ValueError, match="ImageOptimisation has no terms"):
        optimisation(terms=[])
    with pytest.raises(ValueError, match="terms and image_terms: each may stand once, got style, style"):
        optimisation(terms=[GramStyle(["x"]), MomentStyle(["x"])])
    with pytest.raises(ValueError, match="itself has no layer 'y': choose of x"):
        optimisation(terms=[GramStyle(["y"])])


# --- networks ------------------------------------------------------------------------------------------------


def fast(**settings: Any) -> FastStyle:
    torch.manual_seed(0)
    terms = [Content(["x"], 1.0), GramStyle(["x"])]
    return FastStyle(StyleTransformer(1, 4), settings.pop("features", None) or Seen(), **{"terms": terms, **settings})


def test_a_transformer_learns_its_style_looked_at_once(tmp_path: Path) -> None:
    data, features = Many(), Seen()
    module = fast(features=features)
    x, y = data.train[0]
    fit(tmp_path, module, data, 3)
    assert features.looks == 1 + 2 * 3  # the style once, each step the contents and their pictures
    found = module.terms(x, y)
    gram = GramStyle(["x"])
    picture = module.network(x)
    assert torch.allclose(found["style"], gram({"x": picture}, gram.targets({"x": data.whole_styles})))
    assert torch.allclose(found["content"], (picture - x).square().mean())
    assert picture.min() >= 0
    assert picture.max() <= 1
    with pytest.raises(ValueError, match=r"FastStyle learns one style: set data.init_args.styles to one file"):
        fit(tmp_path, fast(), Many(styles=2), 1)


def test_a_transformer_is_applied_to_pictures_of_any_size(tmp_path: Path) -> None:
    module = fit(tmp_path, fast(), Many(), 2)
    assert module.panels()["styled"].shape[:3] == (1, 3, 3)
    (network,) = module.directions.values()
    picture = torch.randint(256, (1, 3, 13, 22), dtype=torch.uint8)
    made = Restorer(network, module.colour, value_range=module.value_range).restore(picture)
    even = torch.nn.functional.pad(picture / 255, (0, 2, 0, 3), mode="replicate")
    assert torch.allclose(made, module.restore((even, even))[..., :13, :22], atol=1e-5)


def adaptive(**settings: Any) -> AdaptiveStyle:
    torch.manual_seed(0)
    terms = [Content(["x"], 1.0), MomentStyle(["x"])]
    return AdaptiveStyle(StyleDecoder([3, 4, 3], []), Seen(), **{"terms": terms, **settings})


def test_strength_zero_is_the_decoders_reconstruction() -> None:
    module = adaptive().eval()
    x, styles = images(1), [images(1, 1), images(1, 2, 24)]
    with torch.no_grad():
        plain = module.decoder(x).clamp(0, 1)
    assert torch.equal(module.transfer(x, styles, strength=0.0), plain)
    whole = module.transfer(x, styles[:1])
    assert not torch.allclose(whole, plain, atol=1e-3)
    assert torch.equal(module.transfer(x, styles, [1.0, 0.0]), whole)
    guide = torch.zeros(1, 1, S, S)
    guide[..., : S // 2] = 1
    part = module.transfer(x, styles[:1], guide=guide)
    reach = 2  # two convolutions
    assert torch.allclose(part[..., S // 2 + reach :], plain[..., S // 2 + reach :], atol=1e-6)
    assert torch.allclose(part[..., : S // 2 - reach], whole[..., : S // 2 - reach], atol=1e-6)


def test_what_is_decoded_is_the_content_that_is_asked_for() -> None:
    module = adaptive()
    nn.init.zeros_(module.decoder.layers[-1].weight)  # a grey picture
    nn.init.constant_(module.decoder.layers[-1].bias, 0.5)
    x, y = images(2), images(2, 1)
    terms = module.terms(x, y)
    mean, deviation = (x.mean((2, 3), keepdim=True), (x.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt())
    wanted_mean, wanted = (y.mean((2, 3), keepdim=True), (y.var((2, 3), correction=0, keepdim=True) + 1e-5).sqrt())
    t = (x - mean) / deviation * wanted + wanted_mean
    assert torch.allclose(terms["content"], (0.5 - t).square().mean())
    flat = (0.5 - wanted_mean).square().mean() + (1e-5**0.5 - wanted).square().mean()
    assert torch.allclose(terms["style"], flat, rtol=1e-4)


def test_adain_learns_to_reconstruct_and_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    data = Many()
    scores = TransferScores(Seen(), ["x"], ["x"])
    module = adaptive(optimizer=lambda p: torch.optim.Adam(p, lr=1e-2))
    fit(tmp_path, module, data, 150, scores)
    first, last = scores.history[0]["metrics"], scores.history[-1]["metrics"]
    assert last["content@itself"] < 0.5 * first["content@itself"]
    assert last["style@itself"] < 0.5 * first["style@itself"]
    assert last["target@itself"] < 0.5 * first["target@itself"]
    (x, y, guide) = next(data.held_out())
    t = adain(x, moments(y[0]))
    torch.testing.assert_close(module.targets((x, y, guide))["x"], t)
    made = module.restore((x, y, guide))
    assert math.isclose(last["target@itself"], (made - t).square().sum() / t.square().sum(), rel_tol=1e-4)
    ends_alike(tmp_path, adaptive, Endless, [3], 5)


def test_a_decoder_that_does_not_mirror_and_other_terms_are_refused(tmp_path: Path) -> None:
    module = AdaptiveStyle(StyleDecoder([3, 4, 3], [1]), Seen(), terms=[Content(["x"]), MomentStyle(["x"])])
    with pytest.raises(ValueError, match=r"the decoder makes \[3, 32, 32\] of the layer x of \[3, 16, 16\]"):
        fit(tmp_path, module, Many(), 1)
    with pytest.raises(ValueError, match="AdaptiveStyle has one MomentStyle, and one Content of the one layer"):
        adaptive(terms=[Content(["x"]), GramStyle(["x"])])
    with pytest.raises(ValueError, match=r"StyleDecoder: .* give one or more, and enlarge after any but the last"):
        StyleDecoder([3, 4, 3], [2])


def test_scores_are_shares_of_what_is_wanted_and_need_styled_pictures() -> None:
    scores = TransferScores(Seen(), ["x"], ["x"])
    x, y = images(1), images(1, 1)
    same = scores.compare(x, x, y[:, None], {})
    assert list(same) == ["content", "style"]
    assert float(same["content"]) == 0
    assert float(scores.compare(torch.zeros_like(x), x, y[:, None], {})["content"]) == 1
    assert float(scores.compare(y, x, y[:, None], {})["style"]) == 0 < float(same["style"])
    assert float(scores.compare(x, x, y[:, None], {"x": 2 * x})["target"]) == 0.25
    assert scores.described["features"] == "itself"
    with pytest.raises(ValueError, match="itself has no layer 'z'"):
        TransferScores(Seen(), ["z"], ["x"])
    with pytest.raises(ValueError, match="TransferScores compares no style: name style_layers"):
        TransferScores(Seen(), ["x"], [])
