"""What the user brings: a mistake in code that a class_path names is told of its file, pictures are found."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn
from command_line import ROOT, TINY, place, refused
from PIL import Image

from datamodules.base import below
from datamodules.damage import Noise
from datamodules.denoising import NoisyImages
from datamodules.photo import Photo
from datamodules.single_image import SingleImage
from experiments.runs import RunDirectory

pytestmark = pytest.mark.usefixtures(place.__name__)

OWN_FILES = {
    "def f(:\n": "mine.py, line 1: invalid syntax",
    "\nimport not_there\n": "mine cannot be imported, {}/mine.py, line 2: No module named 'not_there'",
    "import torch\n\ntorch.nn.Moduel\n": "mine.py, line 3: module 'torch.nn' has no attribute 'Moduel'",
    """from lightning_modules.networks.base import Generator

class Mine(Generator):
    def forward(self, z, y=None):
        return z
""": "Mine does not say its z_dim: set self.z_dim in its constructor",
    """from torch import nn
from lightning_modules.networks.base import Generator

class Mine(Generator):
    def __init__(self):
        super().__init__()
        self.z_dim, self.out_shape, self.layer = 4, (1, 8, 8), nn.Linear(4, 72)

    def forward(self, z, y=None):
        return self.layer(z).view(-1, 1, 9, 8)
""": "Mine says that its samples are of shape (1, 8, 8) and makes them of shape (1, 9, 8): mend",
}


@pytest.mark.parametrize("code", OWN_FILES)
@pytest.mark.parametrize("named", ["option", "yaml"])
def test_a_mistake_in_a_file_of_ones_own_is_told_of_that_file(code, named, capfd, monkeypatch):
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    Path("mine.py").write_text(code)
    Path("own.yaml").write_text("model: {init_args: {generator: {class_path: mine.Mine}}}")
    importlib.invalidate_caches()
    options = ["--model.generator", "mine.Mine"] if named == "option" else ["--config", "own.yaml"]
    assert OWN_FILES[code].format(Path.cwd()) in refused(capfd, "fit", "tiny.yaml", *options)


OWN_FAMILIES = {
    """import lightning as L

class Mine(L.LightningModule):
    def __init__(self, generator: dict, discriminator: dict, ema: dict):
        super().__init__()
""": "model.class_path: Mine is no AtelierModule",
    """from lightning_modules.adversarial import AdversarialModule

class Mine(AdversarialModule):
    def d_loss(self, x, y):
        return {"d/a": self.D(x, y).mean()}
""": "model.class_path: Mine has no g_loss",
    """from lightning_modules.gan import GAN

class Mine(GAN):
    def g_loss(self, x, y):
        return {"g/a": self.D(self.make_fakes(y).images, y)}
""": "Mine.g_loss: the term g/a of Mine is of shape [8]: a dict of scalars belongs there",
}


@pytest.mark.parametrize("code", OWN_FAMILIES, ids=["no family", "no g_loss", "no mean"])
def test_a_family_of_ones_own_that_is_none_leaves_no_run(code, capfd, monkeypatch):
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    Path("mine.py").write_text(code)
    Path("mine.yaml").write_text(TINY.replace("lightning_modules.gan.GAN", "mine.Mine"))
    importlib.invalidate_caches()
    assert OWN_FAMILIES[code] in refused(capfd, "fit", "mine.yaml")


def test_a_file_of_ones_own_that_lies_elsewhere_is_missed_by_name(capfd):
    said = refused(capfd, "fit", "tiny.yaml", "--model.generator", "nowhere.Mine")
    assert "nowhere, which cannot be imported: a file of your own is looked for in the working directory" in said


def test_a_script_of_which_no_class_is_named_is_not_run(capfd):
    Path("train.py").write_text("from pathlib import Path\nPath('ran').touch()\nraise SystemExit")
    importlib.invalidate_caches()
    said = refused(capfd, "fit", "tiny.yaml", "--model.init_from=train.ckpt", "--clock.kimg=abc")
    assert said.startswith("clock.kimg expects")
    assert not Path("ran").exists()


@pytest.mark.parametrize("at", [".", "elsewhere"])
def test_pictures_of_ones_own_lie_below_the_data_or_in_the_working_directory(at, monkeypatch):
    monkeypatch.setenv("ATELIER_DATA", str(Path("elsewhere").absolute()))
    folder = Path(at) / "mine"
    folder.mkdir(parents=True)
    pixels = np.arange(16 * 16 * 3, dtype=np.uint8).reshape(16, 16, 3)
    Image.fromarray(pixels).save(folder / "a.png")
    noisy = NoisyImages(train=["mine"], test=["mine"], patch=8, stride=None)
    assert len(noisy.pairs()[0].pairs) == 1
    assert noisy.training_pairs()[1][0].x.shape == (1, 1, 16, 16)
    assert np.array_equal(Photo("mine/a.png").photo[0].permute(1, 2, 0), pixels)


def test_two_photographs_are_there_without_any_data():
    for name in ("china", "flower"):
        data = SingleImage(f"embedded/{name}.jpg", Noise(25), crop=64)
        x, y = data.pairs()[0].pairs[0]
        assert x.shape == y.shape == (1, 3, 64, 64)
        assert x.std() > 0.05
    assert Photo("embedded/flower.jpg", side=64).photo.shape[2] == 64
    own = Path("embedded/china.jpg")
    assert below(Path("data"), str(own)).is_relative_to(Path(sklearn.__file__).parent)
    own.parent.mkdir()
    own.touch()
    assert below(Path("data"), str(own)) == own
    with pytest.raises(FileNotFoundError, match=r"chin\.jpg"):
        SingleImage("embedded/chin.jpg", Noise(25)).pairs()


def test_what_lies_below_the_data_comes_first():
    for folder in (Path("data/mine"), Path("mine")):
        assert below(Path("data"), "mine") == Path("data/mine")
        folder.mkdir(parents=True)
    assert below(Path("data"), "mine") == Path("data/mine")
    assert below(Path("data"), str(Path("mine").absolute())) == Path("mine").absolute()


@pytest.mark.parametrize("encoding", ["utf-8:strict", "latin-1:strict"])
def test_names_of_files_may_be_any_bytes_and_terminals_any_old_ones(encoding):
    for split in ("train", "test"):
        folder = Path("mine") / split
        folder.mkdir(parents=True)
        for i in range(8):
            Image.new("L", (8, 8), i).save(folder / f"{i}.png")
        (folder / os.fsdecode(b"\xff.png")).touch()
    own = TINY.replace("digits.Digits", "folder.Folder").replace(
        "{size: 8, batch_size", "{path: mine, channels: 1, size: 8, batch_size"
    )
    Path("tiny.yaml").write_text(own)
    command = [sys.executable, "-m", "experiments", "fit", "tiny.yaml", "--runs_dir", "прогоны"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    done = subprocess.run(command, env=environment, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    assert b"\\udcff.png" in done.stdout
    name = "прогоны".encode(encoding.split(":")[0], errors="backslashreplace")
    assert done.stdout.splitlines()[-1].startswith(b"run directory: " + name)


def test_a_command_with_such_a_name_is_put_down():
    run = RunDirectory(Path.cwd())
    run.add_command(["fit", "--resume", os.fsdecode(b"runs\xff")])
    assert Path("command.txt").read_text(encoding="utf-8") == "atelier fit --resume 'runs\\udcff'\n"
