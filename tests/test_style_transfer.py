"""Gatys and Johnson on toys: what is mixed, masked and kept, resuming, learning."""

from pathlib import Path
from typing import Any

import pytest
import torch
from resuming import ends_alike
from style_toys import Many, One, S, Seen, fit
from torch.optim import LBFGS, Adam
from toys import sgd

from lightning_modules.callbacks.transfer_scores import TransferScores
from lightning_modules.image_optimisation import ImageOptimisation
from lightning_modules.losses.reconstruction import TotalVariation
from lightning_modules.losses.style import Content, GramStyle, MomentStyle
from lightning_modules.networks.pixels import Pixels
from lightning_modules.networks.random_filters import RandomFilters
from lightning_modules.networks.style import StyleTransformer
from lightning_modules.style_transfer import FastStyle
from lightning_modules.tools.restoration import Restorer


def optimisation(**settings: Any) -> ImageOptimisation:
    torch.manual_seed(0)
    features = settings.pop("features", None) or Seen()
    return ImageOptimisation(Pixels((S, S)), features, **{"terms": [GramStyle(["x"])], **settings})


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
        looks: list[int] = []
        terms = module.terms
        module.terms = lambda *batch, terms=terms, looks=looks: looks.append(1) or terms(*batch)  # type: ignore[method-assign]
        fit(tmp_path, module, One(), steps or found[0][1])
        found.append((module.row["train/style"].item(), len(looks)))
        assert module.images_seen == module.g_step == (steps or found[0][1])  # whatever a step takes
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
