"""The report on W&B, as far as it goes without an account: what it shows, and one sentence for a mistake."""

import re

import pytest

from experiments.errors import UserError
from experiments.wandb_report import blocks, write

REASON = "needs wandb-workspaces: pip install 'lightning-atelier[report]'"
wr = pytest.importorskip("wandb_workspaces.reports.v2", reason=REASON)
expr = pytest.importorskip("wandb_workspaces.expr", reason=REASON)


def test_each_experiment_is_a_run_set_of_its_group() -> None:
    names, scores = ["gan/dcgan_digits", "vae/vae_digits"], ["val/fid@digits-cnn"]
    made = blocks(wr, "us", "atelier", names, scores)
    grids = [block for block in made if isinstance(block, wr.PanelGrid)]
    assert [[runset.name for runset in one.runsets] for one in grids] == [names] * 3
    [line] = grids[0].panels
    assert (line.x, line.y, line.log_y) == ("kimg", scores, True)
    for name, runset in zip(names, grids[0].runsets, strict=True):
        wanted = expr.expr_to_filters(runset.filters)
        assert (wanted.key.name, wanted.op, wanted.value) == ("group", "=", name)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "a report needs a project and experiments"),
        (["us"], "a report needs a project and experiments"),
        (["us/atelier", "gan/dcgan_digit"], "did you mean gan/dcgan_digits?"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        write(words)
