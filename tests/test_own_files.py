"""A mistake in a file of the user's own, which a class_path names, is told of that file."""

import importlib
import sys
from pathlib import Path

import pytest
from command_line import place, refused

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
