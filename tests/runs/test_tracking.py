"""What W&B and TensorBoard hold of a run: all of it, in one run, that ended as the run did."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_run import catalogues
from training_helpers import power_cut, small_config
from wandb_files import WandbRun

from xalign import dashboard
from xalign.base.errors import ConfigError, RunError, Stopped
from xalign.config.schema import Config, LoggerConfig
from xalign.runs import experiment
from xalign.runs.tracking import tracked
from xalign.tracking.tensorboard import flat
from xalign.tracking.wandb_run import is_offline, run_id, section
from xalign.workspace.folder import RunFolder

FEW = ("benchmark.tasks=[bits_per_byte,translation_choice]", "benchmark.limit=8", "trainer.steps=4")


def run_config(folder: Path, *words: str) -> Config:
    return small_config(
        "data=files", f"data.path={catalogues(folder / 'corpus')}", "instructions=parallel", *FEW,
        "trainer.checkpoint_every=2", f"run.dir={folder / 'run'}", *words,
    )  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def test_a_run_that_was_killed_is_one_run_with_everything(place: Path) -> None:
    wandb = ("logger=wandb", "logger.offline=true", "logger.tags=[a]", "logger.weights=true")
    config = run_config(place, *wandb)
    with power_cut(3):
        experiment.run(config)
    experiment.run(config)
    folder = place / "run"
    found = WandbRun(folder)
    assert len(found.files) == 2
    assert found.ids == {RunFolder(folder).known()["wandb_id"]}
    assert found.exit_codes == [1, 0]
    assert list(found.run.tags) == ["a"]
    assert found.config["loss"]["layer"] == config.loss.layer
    assert found.config["trainer"]["steps"] == 4
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    steps = {
        row["train/step"]: row for row in found.history if "train/loss" in row
    }  # the last of each counts
    assert sorted(steps) == [1, 2, 3, 4]
    for line in lines:
        for key, value in line.items():
            assert steps[line["step"]][section(key)] == value, key
    shown = {key.rsplit("/", 1)[0] for row in found.history for key in row}
    assert {"eval/before", "eval/after", "eval/change", "report"} <= shown
    assert any(key.startswith("items/after.") for key in shown)
    assert {f"pictures/{own.stem}" for own in (folder / "plots").glob("*.png")} <= shown
    after = json.loads((folder / "evaluation" / "comparison.json").read_text())
    mean = next(row for row in _rows(after) if row["language"] == "mean" and row["metric"] == "bits_per_byte")
    assert found.summary[f"eval/{mean['benchmark']}/bits_per_byte/after"] == pytest.approx(mean["after"])
    model = found.artifacts["run-model"]
    names = {entry.path for entry in model.manifest.contents}
    assert {"model.safetensors", "config.json"} <= names
    data = json.loads(found.artifacts["run-data"].metadata)
    assert data["sources"][0]["rows"] > 0


def _rows(content: object) -> list[dict[str, object]]:
    if isinstance(content, dict):
        content = next(value for value in content.values() if isinstance(value, list))
    assert isinstance(content, list)
    return content


ENDS = {0: None, 143: Stopped(15), 130: KeyboardInterrupt(), 1: RunError("full"), 2: ConfigError(["x"])}


@pytest.mark.parametrize(("code", "error"), ENDS.items())
def test_a_run_ends_on_wandb_as_it_ended(code: int, error: BaseException | None, place: Path) -> None:
    folder = RunFolder(place / "run")
    folder.update_environment(wandb_id="abc123")
    config = run_config(place, "logger=wandb", "logger.offline=true")
    if error is None:
        with tracked(config, folder):
            pass
    else:
        with pytest.raises(type(error)), tracked(config, folder):
            raise error
    found = WandbRun(folder.path)
    assert found.exit_codes == [code]
    assert found.alerts == (["full"] if isinstance(error, RunError) else [])


def test_tensorboard_has_the_same(place: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    experiment.run(run_config(place, "logger=tensorboard"))
    events = EventAccumulator(str(place / "run" / "logs" / "tensorboard"), size_guidance={"tensors": 0})
    events.Reload()
    tags = events.Tags()
    assert {f"pictures/{own.stem}" for own in (place / "run" / "plots").glob("*.png")} <= set(tags["images"])
    assert any(tag.startswith("eval/change") for tag in tags["tensors"])
    assert any(tag.endswith("bits_per_byte/after") for tag in tags["scalars"])
    assert "loss" in tags["scalars"]


def named(content: object) -> Iterator[str]:
    """All strings in JSON."""
    if isinstance(content, dict):
        for own in content.values():
            yield from named(own)
    elif isinstance(content, list):
        for own in content:
            yield from named(own)
    elif isinstance(content, str):
        yield content


def test_the_workspace_draws_what_runs_log(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb_workspaces.workspaces import Workspace
    from wandb_workspaces.workspaces.internal import View

    output = place / "dashboard.json"
    monkeypatch.setattr(sys, "argv", ["dashboard", f"output={output}", "entity=us", "project=ours"])
    dashboard.main()
    content = json.loads(output.read_text())
    again = Workspace._from_model(View.model_validate(content))
    assert [own.name for own in again.sections] == [
        *("What changed", "Training", "Which settings matter", "Speed and memory")
    ]
    assert (content["entity"], content["project"]) == ("us", "ours")
    tasks = "[retrieval,translation_choice,bits_per_byte,translation_likelihood]"
    words = ("logger=wandb", "logger.offline=true", "benchmark.limit=8", f"benchmark.tasks={tasks}")
    experiment.run(run_config(place, *words))
    found = WandbRun(place / "run")
    logged = {key for row in found.history for key in row} | set(found.summary)
    logged |= {key.rsplit("/", 1)[0] for key in logged}
    drawn = {own for own in named(content) if own.startswith(("train/", "system/", "eval/", "pictures/"))}
    assert drawn <= logged, drawn - logged


def test_a_key_that_the_dashboard_has_not() -> None:
    with pytest.raises(ConfigError, match="projct=x: unknown; did you mean 'project'"):
        dashboard.given(["projct=x"])


def test_several_ranks_log_one_run(place: Path) -> None:
    """Another process trains: the run is lent to it, and only the first of its ranks opens it."""
    words = ("logger=wandb", "logger.offline=true", "strategy=ddp", "trainer.devices=2")
    experiment.run(run_config(place, *words))
    found = WandbRun(place / "run")
    assert found.ids == {RunFolder(place / "run").known()["wandb_id"]}
    assert found.exit_codes == [0, 0, 0]  # before training, the ranks, afterwards
    assert {row["train/step"] for row in found.history if "train/loss" in row} == {1, 2, 3, 4}
    assert any(key.startswith("eval/change") for row in found.history for key in row)


def test_sections() -> None:
    assert section("loss/contrastive") == "train/loss/contrastive"
    assert section("seconds/data") == "system/seconds/data"
    assert section("mfu") == "system/mfu"
    assert section("eval/use/retrieval@1") == "eval/use/retrieval@1"
    assert flat({"a": {"b": 1}, "c": 2}) == {"a.b": 1, "c": 2}


def test_offline_where_no_key_is_set(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.setenv("NETRC", str(place / "netrc"))
    auto, online = LoggerConfig(), LoggerConfig(offline=False)
    assert not is_offline(online)
    assert is_offline(auto)
    (place / "netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {'0' * 40}\n")
    assert not is_offline(auto)
    (place / "netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert not is_offline(auto)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert is_offline(online)


def test_in_wandb_s_own_sweep_its_id_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    assert run_id("known", "new") == "known"
    assert run_id(None, "new") == "new"
    monkeypatch.setenv("WANDB_RUN_ID", "sweep1")
    assert run_id("known", "new") == "sweep1"
