"""A disk or a memory that is full, or a folder that goes, costs one sentence and exit code 1."""

import errno
from contextlib import contextmanager

import pytest
import torch
from command_line import fit, place, refused

from datamodules.functional import files
from experiments import compare, export, look, report, sample, sheets
from experiments.cli import main
from lightning_modules.callbacks import pictures
from lightning_modules.gan import GAN
from lightning_modules.generative import GenerativeModule

pytestmark = pytest.mark.usefixtures(place.__name__)
WRITERS = (
    *("sample RUN", "sample RUN --count 2", "sample RUN --interpolate 2", "export RUN --onnx no", "predict RUN"),
    *("report RUN", "compare RUN --out page.html", "edit RUN between", "contact-sheet tiny.yaml"),
)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_it_is_one_sentence_wherever_results_are_written(code, capfd, monkeypatch):
    run = str(fit())

    @contextmanager
    def failing(path):
        raise OSError(code, "no", str(path))
        yield

    for module in (compare, export, look, report, sample, sheets, pictures):
        monkeypatch.setattr(module, files.replacing.__name__, failing)
    for command in WRITERS:
        if code == errno.EROFS and command.startswith("contact-sheet"):
            continue  # a mistake of the command: exit code 2
        capfd.readouterr()
        said = refused(capfd, *[run if word == "RUN" else word for word in command.split()], code=1)
        full = "the disk is full: make room, or give another --out."
        assert said.endswith(": no.") if code == errno.EROFS else said == full, command


def of_a_device(*_):
    raise torch.OutOfMemoryError("CUDA out of memory")


def of_a_cpu(*_):
    torch.empty(1 << 50)


@pytest.mark.parametrize("full", [of_a_device, of_a_cpu])
def test_memory_that_does_not_suffice_is_one_sentence(full, capfd, monkeypatch):
    run = str(fit())
    monkeypatch.setattr(GAN, "g_loss", full)
    assert main(["fit", "tiny.yaml"]) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "lower data.batch_size" in said
    assert "the run is kept in runs/tiny" in said
    monkeypatch.setattr(GenerativeModule, "generate_image", full)
    assert "the memory of the device does not suffice" in refused(capfd, "sample", run, code=1)
