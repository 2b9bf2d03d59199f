"""AdaIN on toys: strengths, guides, what is decoded, learning and resuming; scores of style transfer."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from resuming import ends_alike
from style_toys import Endless, Many, One, S, Seen, fit, images
from torch import nn

from datamodules.functional.statistics import adain, moments
from lightning_modules.callbacks.transfer_scores import TransferScores
from lightning_modules.losses.style import Content, GramStyle, MomentStyle
from lightning_modules.networks.style import StyleDecoder
from lightning_modules.style_transfer import AdaptiveStyle


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


def test_moments_are_met_in_half_precision() -> None:
    module, decoded = adaptive(), []
    module.decoder.register_forward_pre_hook(lambda _, inputs: decoded.append(inputs[0]))
    x, y = (images(1, seed, 64).bfloat16() for seed in (0, 1))  # as a network gives its maps
    with torch.autocast("cpu", torch.bfloat16):
        module.terms(x, y)
        module.transfer(x, [y])
    assert [maps.dtype for maps in decoded] == [torch.bfloat16] * 2
    for maps in decoded:
        torch.testing.assert_close(moments(maps.float()), moments(y.float()), rtol=0, atol=1e-3)


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


def test_scores_say_of_which_pictures() -> None:
    scores, said = TransferScores(Seen(), ["x"], ["x"]), []
    for data in (One(), One(), One(guide=torch.zeros(1, 1, S, S))):
        scores.setup(SimpleNamespace(datamodule=data), adaptive(), "fit")  # type: ignore[arg-type]
        said.append(scores.described["data"]["pictures"])
    assert said[0]["images"] == 1
    assert said[0] == said[1] != said[2]


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
