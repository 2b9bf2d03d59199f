"""A disk that runs full, or a folder that goes, costs one sentence and exit code 1 wherever a result is written."""

import errno
from contextlib import contextmanager

import pytest
from command_line import fit, place, refused

from datamodules.functional import files
from experiments import compare, export, look, report, sample, sheets
from lightning_modules.callbacks import pictures

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
