"""Where a run's numbers go: inside its directory, whole, and to a server only where a key is configured."""

import io
import json
import re
import shlex
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar

import pytest
import wandb
from command_line import fit, place, refused, rows
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments import compare_runs
from experiments.cli import main
from experiments.runs import RunDirectory
from experiments.wandb_runs import LoggedRun, find_files, joined, read_offline, read_project
from lightning_modules.callbacks.loggers import AtelierWandbLogger, JsonlLogger, Run
from lightning_modules.callbacks.wandb_identity import wandb_key_configured

pytestmark = pytest.mark.usefixtures(place.__name__)


def test_wandb_stays_inside_the_run_and_knows_the_configuration(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    (Path.cwd() / "wandb.yaml").write_text(
        "trainer: {logger: {class_path: lightning_modules.callbacks.loggers.AtelierWandbLogger}}"
    )
    before = set(Path.home().iterdir())
    run = fit("--config", "wandb.yaml", "--clock.g_steps", "1")
    logs = [*run.glob("wandb/offline-run-*/*.wandb")]
    assert len(logs) == 1
    wandb.teardown()  # waits for its writer, as the end of a process does
    content = logs[0].read_bytes()
    for said in (b"half_life_kimg", b"tiny", run.name.encode(), b"kimg"):
        assert said in content
    assert {p.name for p in Path.cwd().iterdir()} == {"tiny.yaml", "wandb.yaml", "runs"}
    assert set(Path.home().iterdir()) == before


WANDB = "lightning_modules.callbacks.loggers.AtelierWandbLogger"
BOTH = ["--trainer.logger", f"[{{class_path: {WANDB}, init_args: {{artifacts: true}}}}]"]


def test_the_line_that_sends_an_offline_run_can_be_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    logger = AtelierWandbLogger(mode="offline")
    for name in ("runs/a", "mein Projekt ü/it's $HOME"):
        logger._staged = tmp_path / name
        [line] = logger.summary()
        assert shlex.split(line.removeprefix("Weights & Biases: ")) == ["wandb", "sync", name]


def test_an_offline_run_is_read_back(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    sizes = [f"--model.{player}.size" for player in ("generator", "discriminator")]
    of_32 = [word for name in (*sizes, "--data.size") for word in (name, "32")]
    run = fit(*BOTH, *of_32, "--evaluation.extractor", "digits-cnn", "--evaluation.fakes", "20")
    wandb.teardown()
    segment = next(run.glob("wandb/offline-run-*"))
    assert f"Weights & Biases: wandb sync runs/tiny/{run.name}/wandb/{segment.name}" in capfd.readouterr().out
    [file] = find_files(run / "wandb")
    found = read_offline(file)
    record = json.loads((run / "record.json").read_text())
    assert (found.name, found.group, record["run"], record["wandb"]) == (run.name, "tiny", run.name, [found.id])
    assert found.config["model"]["init_args"]["ema"]["half_life_kimg"] == 1
    history = record["scores"][0]["history"]
    assert len(history) == 3
    fids = [row["metrics"]["fid@digits-cnn"] for row in history]
    [block] = found.record()["scores"]
    assert [row["metrics"]["fid@digits-cnn"] for row in block["history"]] == fids
    assert found.summary["val/fid@digits-cnn"] == {"min": min(fids), "last": fids[-1]}
    pictures = found.pictures["samples"]
    assert [count for count, _ in pictures] == [0, 16, 32]
    for (_, logged), own in zip(pictures, sorted((run / "samples").glob("*.png")), strict=True):
        with Image.open(logged) as a, Image.open(own) as b:
            assert a.tobytes() == b.tobytes()
    assert {"scores", "record"} <= found.summary.keys()
    assert b"last.ckpt" in file.read_bytes()  # the artifact

    assert main(["compare", str(run), str(segment)]) == 0
    said = capfd.readouterr().out
    assert said.count(f"| {fids[-1]:.4g} |") == 2
    assert "Settings that differ" not in said


def test_segments_of_a_resumed_run_are_of_one_group_and_one_run_among_others(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = fit(*BOTH, "--clock.g_steps", "2")
    assert main(["fit", "--resume", str(run), "--clock.g_steps", "4"]) == 0
    wandb.teardown()
    segments = [read_offline(file) for file in find_files(run / "wandb")]
    assert [one.group for one in segments] == ["tiny"] * 2
    assert [one.name for one in segments] == [run.name] * 2
    record = json.loads((run / "record.json").read_text())
    assert record["wandb"] == [one.id for one in segments]

    for order in (segments, segments[::-1]):
        [whole] = joined(order)
        kimgs = [row["kimg"] for row in whole.history if "kimg" in row]
        assert kimgs == sorted(kimgs)
        assert (kimgs[0], kimgs[-1]) == (0, record["clock"]["kimg"])
        assert whole.record()["status"] == "finished"
        counts = [count for count, _ in whole.pictures["samples"]]
        assert counts == [int(path.stem.split("-")[-1]) for path in sorted((run / "samples").glob("samples-*.png"))]
        assert len(counts) > len(segments[0].pictures["samples"])
    capfd.readouterr()
    assert main(["compare", f"{run}/wandb/*"]) == 0  # `latest-run` among them
    assert "| tiny, seed 0 |" in capfd.readouterr().out
    segments[0].summary["record"]["status"] = "running"  # as a killed process leaves it
    assert segments[0].record()["status"] == "cut off"
    with RunDirectory(run).going_on():
        assert read_offline(find_files(run / "wandb")[0]).live


def logged(name: str, ids: list[str], kimgs: list[float], at: float, **more: Any) -> LoggedRun:
    """A segment with a row and a picture at each of ``kimgs``, ten seconds apart; its record knows those of ``ids``."""
    history = [{"kimg": kimg, "d_step": kimg, "_timestamp": at + 10 * i} for i, kimg in enumerate(kimgs)]
    pictures = {"samples": [(round(1000 * kimg), Path(f"{name}-{kimg}")) for kimg in kimgs]}
    record = {"wandb": ids, "started": ids, "status": "running", "scores": []}
    return LoggedRun(name, history=history, summary={"record": record}, pictures=pictures, **more)


def test_what_a_resumed_run_trained_again_counts_once() -> None:
    first, other = logged("a", ["a"], [0, 1, 2, 3], 100), logged("c", ["c"], [0, 5], 150)
    early = LoggedRun("b")  # killed before it said anything
    killed = logged("e", ["a", "b", "e"], [], 0)  # after it had begun
    last = logged("d", ["a", "b", "e", "d"], [2, 3, 4], 1000, live=True)
    last.history.insert(0, {"kimg": 0, "samples": "a picture of no count", "_timestamp": 1000})
    for runs in permutations([first, early, killed, last]):
        whole, same = joined([*runs, other])
        assert same == other
        assert [row["kimg"] for row in whole.history] == [0, 1, 0, 2, 3, 4]
        assert [row["_timestamp"] for row in whole.history] == [100, 110, 110, 110, 120, 130]  # without the pause
        assert [path.name for _, path in whole.pictures["samples"]] == ["a-0", "a-1", "d-2", "d-3", "d-4"]
        assert (whole.id, whole.summary, whole.live) == ("d", last.summary, True)
    chain = [logged(ids[-1], ids, [i], i) for i, ids in enumerate((["a"], ["a", "b"], ["b", "c"]), 1)]
    for runs in permutations(chain):
        assert len(joined(runs)) == 1


def test_a_run_that_went_on_online_counts_once_too() -> None:
    [whole] = joined([logged("a", ["a"], [0, 1, 2, 3, 2, 3, 4], 0)])
    assert [row["kimg"] for row in whole.history] == [0, 1, 2, 3, 4]
    assert [row["_timestamp"] for row in whole.history] == [0, 10, 10, 20, 30]


def test_a_damaged_run_of_wandb_is_one_sentence_among_others(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged = logged("a", ["a"], [1], 0)
    damaged.summary["record"]["wandb"] = 5
    monkeypatch.setattr(compare_runs, "read_offline", lambda file: damaged)
    Path("a.wandb").touch()
    assert "W&B's run a is left out (no hardware)" in refused(capfd, "compare", "a.wandb")


def test_what_is_no_file_of_wandb_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    Path("a.wandb").write_bytes(b"words")
    assert "a.wandb is no file of Weights & Biases" in refused(capfd, "compare", "*.wandb")
    Path("a.wandb").write_bytes(b":W&B\x00\x00\x00" + bytes(3))
    assert "W&B's run a is left out (it holds no record of" in refused(capfd, "compare", "a.wandb")
    part = b"\x0f\xff\xff"
    Path("a.wandb").write_bytes(b":W&B\x00\x00\x00" + bytes(4) + len(part).to_bytes(2, "little") + b"\x01" + part)
    assert "a.wandb is left out (a.wandb is a damaged file of" in refused(capfd, "compare", "a.wandb")


def test_a_project_is_read_through_its_api() -> None:
    class Run:
        id, name, group, config, state = "1", "n", None, {"a": 1}, "crashed"
        summary_metrics: ClassVar = {"x": 2}  # `summary` is no plain mapping

        def scan_history(self) -> list[dict[str, int]]:
            return [{"kimg": 1}]

    class Api:
        def runs(self, path: str) -> list[Run]:
            if path != "us/project":
                raise LookupError("not found")
            return [Run()]

    [run] = read_project("us/project", Api())
    assert (run.id, run.group, run.history, run.summary) == ("1", "", [{"kimg": 1}], {"x": 2})
    assert run.live is False
    with pytest.raises(ValueError, match=re.escape("gives no runs of them/other (not found)")):
        read_project("them/other", Api())


def test_wandb_is_online_only_where_a_key_is_configured(monkeypatch, tmp_path):
    assert not wandb_key_configured()
    netrc = tmp_path / "netrc"
    netrc.write_text("machine api.wandb.ai login user password 0123\n")
    monkeypatch.setenv("NETRC", str(netrc))
    assert wandb_key_configured()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not wandb_key_configured()
    monkeypatch.setenv("WANDB_API_KEY", "0123")
    assert wandb_key_configured()


def test_rows_survive_a_kill_and_are_never_rewritten(tmp_path):
    run = Run(tmp_path, "tiny", {})
    logger = JsonlLogger()
    logger.open(run)
    logger.log_metrics({"fid": 1.0, "loss": float("nan")}, 1)
    first = (tmp_path / "metrics.jsonl").read_text()  # flushed, the logger is still open
    (tmp_path / "metrics.jsonl").write_text(first + '{"step": 2, "fi')
    other = JsonlLogger()
    other.open(run)
    other.log_metrics({"fid": 2.0}, 2)
    for each in (logger, other):
        each.finalize("success")
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert lines[0] + "\n" == first
    assert json.loads(lines[0])["loss"] is None
    assert json.loads(lines[2])["fid"] == 2.0


def test_tensorboard_writes_into_the_run():
    run = fit("--config", "tensorboard", "--clock.g_steps", "1")
    assert len([*run.glob("tensorboard/events.*")]) == 1
    assert len(rows(run)) == 1
    found = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0}).Reload()
    for name in found.Tags()["images"]:
        *_, last = found.Images(name)
        (file,) = sorted((run / "samples").glob(f"{name}-*.png"))[-1:]
        shown, kept = (Image.open(source).convert("RGB") for source in (io.BytesIO(last.encoded_image_string), file))
        assert shown.tobytes() == kept.tobytes()
        assert last.step == 1
    assert "samples" in found.Tags()["images"]
