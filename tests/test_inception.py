"""Laws of the Inception extractor: where its weights come from, and that it is torch-fidelity's."""

import urllib.error
from pathlib import Path

import pytest
import torch

from lightning_modules.metrics import inception
from lightning_modules.metrics.extractors import load_extractor
from lightning_modules.metrics.inception import FILE, URL, InceptionExtractor, find_weights


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without Inception weights and without a network."""

    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.delenv("ATELIER_WEIGHTS", raising=False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    return tmp_path


def test_absent_inception_names_file_url_and_option(nowhere: Path) -> None:
    with pytest.raises(FileNotFoundError) as error:
        load_extractor("inception")
    for part in (FILE, URL, "evaluation.weights", "ATELIER_WEIGHTS", "no network"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


def test_explicit_path_that_is_no_file_is_not_replaced(nowhere: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"mine\.pth"):
        find_weights(str(nowhere / "mine.pth"))


def test_weights_are_searched_in_order(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached, own = nowhere / "hub" / "checkpoints" / FILE, nowhere / "own"
    cached.parent.mkdir(parents=True)
    own.mkdir()
    cached.write_bytes(b"cached")
    monkeypatch.setattr(inception, "SHA256_PREFIX", "")  # any file will do
    assert find_weights(None) == cached
    monkeypatch.setenv("ATELIER_WEIGHTS", str(own))
    assert find_weights(None) == cached  # the folder is empty
    (own / FILE).write_bytes(b"own")
    assert find_weights(None) == own / FILE
    monkeypatch.setenv("ATELIER_WEIGHTS", str(own / FILE))
    assert find_weights(None) == own / FILE
    assert find_weights(str(cached)) == cached


def test_file_of_another_hash_is_taken_only_by_name(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nowhere / FILE
    path.write_bytes(b"other")
    assert find_weights(str(path)) == path
    monkeypatch.setenv("ATELIER_WEIGHTS", str(nowhere))
    with pytest.raises(ValueError, match="does not have the sha256 6726825d"):
        find_weights(None)


def test_file_without_the_weights_is_refused_in_one_sentence(nowhere: Path) -> None:
    torch.save({"a": torch.zeros(1)}, nowhere / "a.pth")
    (nowhere / "b.pth").write_bytes(b"no weights")
    for name in ("a.pth", "b.pth"):
        with pytest.raises(ValueError, match=r"does not hold the weights of .* InceptionV3|InceptionV3") as error:
            InceptionExtractor(str(nowhere / name))
        assert "\n" not in str(error.value)


@pytest.mark.slow
def test_inception_of_random_weights_equals_torch_fidelity(nowhere: Path) -> None:
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = random_inception(nowhere / "random.pth")
    before = torch.get_rng_state()
    extractor = InceptionExtractor(str(path))
    assert torch.equal(torch.get_rng_state(), before)
    assert extractor.sha256 is not None
    assert len(extractor.sha256) == 64
    theirs = FeatureExtractorInceptionV3("theirs", ["2048", "logits_unbiased"], str(path))
    noise = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 256, (2, 3, 32, 32), generator=noise, dtype=torch.uint8)
    gray = rgb[:, :1]
    wanted, logits = theirs(rgb)
    seen = extractor(rgb)
    assert (seen.features - wanted).abs().max() < 1e-4 * wanted.abs().max()
    assert (seen.logits - logits).abs().max() < 1e-4 * logits.abs().max()
    assert torch.equal(extractor(gray).features, extractor(gray.expand(-1, 3, -1, -1)).features)
    assert "gray repeated" in extractor.fit((1, 32, 32))


def random_inception(path: Path) -> Path:
    """Random weights in torch-fidelity's layout."""
    from torch import nn
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    class Blank(theirs.FeatureExtractorInceptionV3):
        def load_state_dict(self, state: object) -> None:
            for module in self.modules():
                if isinstance(module, nn.Conv2d):
                    nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    torch.manual_seed(0)
    torch.save({}, path)
    torch.save(Blank("blank", ["2048"], str(path)).state_dict(), path)
    return path
