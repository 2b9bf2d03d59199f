"""``atelier evaluate`` of runs: the scores of ``atelier validate``, several seeds, presets, and what is written."""

import getpass
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

import pytest
import torch
from command_line import ROOT, TINY, files, place, refused, runs
from noise_sets import own_cache
from PIL import Image

from experiments.cli import main
from experiments.layers import read_layer
from experiments.lightning_cli import AtelierCLI
from experiments.weights import load_weights
from lightning_modules.metrics.evaluate import evaluate, floor, protocol_for
from lightning_modules.metrics.extractors import Identity
from lightning_modules.metrics.protocol import Protocol
from lightning_modules.metrics.reference import BLOCK

pytestmark = pytest.mark.usefixtures(place.__name__, own_cache.__name__)
FID = "fid@identity"
LOOK = "evaluation: {extractor: identity, fakes: 150, seed: 5}\ncheckpoint: {monitor: val/fid@identity}\n"
MIMICRY = ("--protocol", "mimicry", "--extractor", "identity", "--metrics", "fid", "--fakes", "150")
STUDIOGAN = ("--protocol", "studiogan-v0.4", "--extractor", "identity", "--metrics", "fid", "--fakes", "150")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run whose best checkpoint has other weights than its last, and whose average others than its generator."""
    before = dict(os.environ)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        patch.setenv("ATELIER_CACHE", str(Path("cache").absolute()))
        Path("tiny.yaml").write_text(TINY.replace("evaluation: null\n", LOOK))
        assert main(["fit", "tiny.yaml"]) == 0
        run = runs()[-1].absolute()
    for name in set(os.environ) - set(before):
        del os.environ[name]
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    noise = torch.Generator().manual_seed(0)
    for name, weight in checkpoint["state_dict"].items():
        if weight.is_floating_point() and "running" not in name:
            weight += 0.05 * torch.randn(weight.shape, generator=noise)
    torch.save(checkpoint, run / "checkpoints" / "best.ckpt")
    return run


def evaluated(*words: str | Path) -> dict:
    """The JSON of one evaluation, which is strict."""

    def refuse(word: str) -> float:
        raise AssertionError(f"{word} is no JSON")

    out = Path("out.json")
    for old in Path().glob("out.*"):
        old.unlink()
    assert main(["evaluate", *map(str, words), "--out", str(out)]) == 0
    return json.loads(out.read_text(), parse_constant=refuse)


def value(report: dict, name: str = FID) -> float:
    return report["scores"][name]["mean"]


def directly(run: Path, seed: int, raw: bool = False) -> tuple[dict[str, float], dict[str, float], Protocol]:
    """Scores, floor and protocol without the command line."""
    cli = AtelierCLI([("config.yaml", read_layer(run / "config.yaml"))], [])
    cli.build()
    load_weights(cli.model, run / "checkpoints" / "last.ckpt")
    if raw:
        cli.model.ema = None
    reference, real = cli.datamodule.reference("train"), cli.datamodule.reference("test")
    extractor = Identity((1, 8, 8))
    weights = "raw" if raw else "ema"
    protocol = protocol_for(reference, extractor, 150, seed=seed, weights=weights, real=real)
    scores = evaluate(cli.model.sample, reference, protocol, extractor)
    return scores, floor(real, reference, protocol, extractor), protocol


# --- the numbers --------------------------------------------------------------------------------------------


def test_scores_are_those_of_evaluate_and_of_validate(trained, capsys):
    scores, least, protocol = directly(trained, seed=5)
    report = evaluated(trained)
    assert {name: score["mean"] for name, score in report["scores"].items()} == scores
    assert report["floor"] == least
    assert Protocol(**report["protocol"]) == protocol
    assert main(["validate", str(trained)]) == 0
    said = capsys.readouterr().out
    assert f"val/{FID}  {scores[FID]:.6g}" in said
    assert f"fakes 150, labels none, quantisation {protocol.quantisation}, weights ema" in said


def test_several_seeds_are_as_many_single_evaluations(trained):
    together = evaluated(trained, "--seeds", 3)
    alone = [value(evaluated(trained, "--evaluation.seed", seed)) for seed in (5, 6, 7)]
    assert together["seeds"] == [5, 6, 7]
    assert together["scores"][FID]["values"] == alone
    assert len(set(alone)) == 3
    assert value(together) == pytest.approx(mean(alone), rel=1e-12)
    assert together["scores"][FID]["std"] == pytest.approx(stdev(alone), rel=1e-9)
    single = evaluated(trained)
    assert (single["seeds"], single["scores"][FID]["std"]) == ([5], None)


def test_the_command_lines_choices_come_first(trained):
    report = evaluated(trained, "--fakes", 120, "--split", "test", "--floor", "no", "--metrics", "fid,spectrum")
    stated = report["protocol"]
    assert (stated["fakes"], stated["reference_split"], stated["floor_split"], report["floor"]) == (
        *(120, "test"),
        *(None, None),
    )
    assert any(name.startswith("spectrum") for name in report["scores"])


def test_metrics_by_name_are_set_as_the_run_sets_them(trained):
    kid = '[{"class_path": "lightning_modules.metrics.kid.KID", "init_args": {"subsets": 3, "subset_size": 40}}]'
    report = evaluated(trained, "--evaluation.metrics", kid, "--metrics", "kid,fid")
    assert (report["protocol"]["kid_subsets"], report["protocol"]["kid_subset_size"]) == (3, 40)
    assert set(report["scores"]) == {"kid@identity", "kid_std@identity", FID}


# --- presets and checkpoints --------------------------------------------------------------------------------


def test_raw_weights_are_the_generators_own(trained, capsys):
    report = evaluated(trained, *MIMICRY)
    assert report["protocol"]["weights"] == "raw"
    assert report["scores"][FID]["values"][0] == directly(trained, seed=5, raw=True)[0][FID]
    assert report["scores"][FID]["values"][0] != directly(trained, seed=5)[0][FID]
    assert report["seeds"] == [5, 6, 7]  # as many as mimicry's tables
    assert report["preset"] == "mimicry"
    departures = report["departures"]
    assert departures["fakes"] == [50_000, 150]
    assert departures["extractor"] == ["inception", "identity"]
    assert not {"weights", "reference_split", "reference_mirror", "seeds", "checkpoint"} & departures.keys()
    said = capsys.readouterr().out
    for name, (fixed, measured) in departures.items():
        assert f"otherwise than mimicry: {name} is {measured}, there {fixed}" in said
    assert evaluated(trained, *MIMICRY, "--seeds", 2)["departures"]["seeds"] == [3, 2]


def test_a_presets_best_checkpoint_is_taken_unless_another_is_named(trained):
    best, last = evaluated(trained, *STUDIOGAN), evaluated(trained, *STUDIOGAN, "--ckpt", "last")
    assert best["protocol"]["checkpoint"] == best["of"]["checkpoint"] == "best by fid@identity"
    assert last["protocol"]["checkpoint"] == last["of"]["checkpoint"] == "last"
    assert last["departures"]["checkpoint"] == ["best by fid", "last"]
    assert value(best) != value(last)
    assert value(best) == value(evaluated(trained, *STUDIOGAN, "--ckpt", "best"))
    assert value(best) == value(evaluated(trained / "checkpoints" / "best.ckpt", *STUDIOGAN))
    assert value(last) == value(evaluated(trained / "checkpoints" / "last.ckpt", *STUDIOGAN))


def test_a_preset_counts_as_many_reference_images_as_there_are(trained, monkeypatch):
    from lightning_modules.metrics.presets import PRESETS, Preset

    few = Preset(name="few", source="", fields={"reference_count": 100, "reference_mirror": True, "seed": 0})
    monkeypatch.setitem(PRESETS, "few", few)
    report = evaluated(trained, "--protocol", "few", "--metrics", "fid")
    stated = report["protocol"]
    assert (stated["reference_count"], stated["reference_mirror"], stated["seed"]) == (100, True, 0)
    assert report["departures"] == {}


# --- what is written ----------------------------------------------------------------------------------------


def test_settings_that_are_not_the_runs_are_told(trained):
    assert "changed" not in evaluated(trained, "--evaluation.fakes", "100")["of"]
    assert evaluated(trained, "--model.n_gen", "2")["of"]["changed"] == ["--model.n_gen", "2"]


def test_the_json_says_all_and_nothing_of_this_machine(trained):
    shutil.copy(trained / "checkpoints" / "last.ckpt", "elsewhere.ckpt")
    report = evaluated(trained, "--ckpt", Path("elsewhere.ckpt").absolute())
    assert report["of"]["checkpoint"] == "elsewhere"
    assert [report["of"][name] for name in ("g_step", "kimg")] == [4, 0.032]  # 4 steps of 8 images
    assert report["of"]["run_started"] == json.loads((trained / "record.json").read_text())["started"][0]
    assert set(report) == {
        *("schema", "kind", "status", "of", "preset", "departures", "protocol", "seeds", "scores", "floor"),
        *("wall_seconds", "code", "versions", "hardware"),
    }
    assert set(report["code"]) == {"commit", "dirty"}
    assert report["versions"]["torch"] == torch.__version__.split("+")[0]
    text = Path("out.json").read_text()
    for secret in (str(Path.cwd()), str(trained), str(Path.home()), socket.gethostname(), f'"{getpass.getuser()}"'):
        assert secret not in text


def test_nothing_is_overwritten_and_what_cannot_be_written_is_known_before(trained, capfd, monkeypatch):
    evaluated(trained, "--metrics", "neighbours", "--fakes", 100)
    picture = Path("out.nn_p05.png")
    before = Path("out.json").read_bytes(), picture.read_bytes()
    assert "out.json exists" in refused(capfd, "evaluate", str(trained), "--out", "out.json")
    Path("out.json").rename("kept.json")
    said = refused(capfd, "evaluate", str(trained), "--metrics", "neighbours", "--out", "out.json")
    assert "out.nn_p05.png lies where a picture of out.json may come" in said
    assert (Path("kept.json").read_bytes(), picture.read_bytes()) == before
    monkeypatch.setattr("experiments.evaluate.score", None)  # nothing is measured in vain
    assert "cannot be written" in refused(capfd, "evaluate", str(trained), "--out", "kept.json/x.json")


def test_pictures_of_neighbours_lie_beside_the_scores(trained):
    evaluated(trained, "--metrics", "neighbours", "--fakes", 100)
    with Image.open("out.nn_p05.png") as sheet:
        assert sheet.size == (8 * 10 + 2, 8 * 10 + 2)  # 8 samples, each with 7 neighbours; 8 px and a gap of 2
    assert {path.name for path in Path().glob("out*")} == {"out.json", "out.nn_p05.png"}


def test_the_table_is_printed_where_there_is_no_terminal(trained, capsys):
    assert main(["evaluate", str(trained), "--seeds", "2"]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    row = next(line for line in said.splitlines() if FID in line)
    assert len([cell for cell in row.replace("│", " ").split() if cell]) == 4  # name, mean, std, floor
    assert "std of 2" in said
    assert "measured by: data digits" in said
    assert not files() & {"out.json"}


# --- cache --------------------------------------------------------------------------------------------------


def test_the_cache_is_shown_and_cleared_alone(trained, own_cache, capsys):
    evaluated(trained)
    others = [own_cache / "images" / "a.json", own_cache / "model.safetensors", own_cache / "notes.txt"]
    for other in others:
        other.parent.mkdir(exist_ok=True)
        other.write_text("mine")
    capsys.readouterr()
    assert main(["evaluate", "--cache", "show"]) == 0
    said = capsys.readouterr().out
    for part in (
        "digits train 1437 moments through identity",
        "floor through identity",
        "2 statistics",
        str(own_cache),
    ):
        assert part in said
    assert "model" not in said
    assert main(["evaluate", "--cache", "clear"]) == 0
    assert "2 statistics and 0 findings about files deleted" in capsys.readouterr().out
    assert {path for path in own_cache.rglob("*") if path.is_file()} == set(others)
    assert main(["evaluate", "--cache", "show"]) == 0
    assert "0 statistics" in capsys.readouterr().out


def test_a_damaged_statistic_is_shown_as_such(own_cache, capsys):
    own_cache.mkdir()
    (own_cache / f"{'a' * 64}.safetensors").write_text("junk")
    assert main(["evaluate", "--cache", "show"]) == 0
    assert "damaged" in capsys.readouterr().out


# --- help and progress --------------------------------------------------------------------------------------


def test_help_needs_no_torch():
    code = (
        "import sys; from experiments.cli import main; main(['evaluate', '--help']); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_progress_goes_up_and_ends(trained, monkeypatch, capsys):
    monkeypatch.setattr("datamodules.inspection.Progress.show", lambda self, done: print(self.done, done, self.total))
    assert main(["evaluate", str(trained), "--seeds", "2"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [
        line for line in said if line.startswith("looked at ") and "floor" not in line
    ] == [  # the reference once, not once a seed
        *(f"looked at {done} 1437" for done in range(0, 1437, BLOCK)),
    ]
    assert [line for line in said if "drawn" in line] == 2 * ["drawn and scored 0 150", "drawn and scored 100 150"]
