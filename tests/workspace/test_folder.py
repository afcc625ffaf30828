"""A run's folder: the same run is known again, and nothing of the user's is deleted or taken for a result."""

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import pytest
import yaml
from training_helpers import small_config

from xalign.base.errors import RunError
from xalign.config.schema import Config, RunConfig
from xalign.config.text import LanguagesConfig
from xalign.models.own_path import MARK
from xalign.options.plain import plain
from xalign.workspace.content import default_folder, differences
from xalign.workspace.folder import WRITTEN, RunFolder

LINES = "name: mine\nmodel:\n  layers: 3\n"


def rerun(config: Config) -> Config:
    return replace(config, run=RunConfig(rerun=True))


def begun(path: Path, config: Config) -> RunFolder:
    """A folder with the results of a run that has been stopped."""
    folder = RunFolder(path)
    folder.prepare(config)
    for file in ("evaluation/before.json", "checkpoints/step-00000002/state.ckpt", "logs/metrics.csv"):
        (path / file).parent.mkdir(parents=True, exist_ok=True)
        (path / file).write_text("of the run")
    (path / "metrics.jsonl").write_text("")
    return folder


def test_somebodys_folder_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(LINES)
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights.bin").write_text("years of work")
    for config in (small_config(), rerun(small_config())):
        with pytest.raises(RunError, match="is not the config of a run"):
            RunFolder(tmp_path).prepare(config)
    assert (tmp_path / "config.yaml").read_text() == LINES
    assert (tmp_path / "model/weights.bin").exists()


@pytest.mark.parametrize("name", sorted({Path(own).parts[0] for own in WRITTEN} - {"config.yaml"}))
def test_results_without_a_config_are_not_a_runs(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(RunError, match=rf"holds {name} but no config.yaml"):
        RunFolder(tmp_path).prepare(small_config())
    assert not (tmp_path / "config.yaml").exists()


def test_a_model_counts_only_if_the_run_wrote_it(tmp_path: Path) -> None:
    folder = begun(tmp_path, small_config())
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    assert not folder.exported
    with pytest.raises(RunError, match="was not written by this run"):
        folder.prepare(small_config())
    (tmp_path / "model" / MARK).write_text("{}")
    assert folder.exported
    folder.prepare(small_config())


def test_training_makes_no_foreign_model_ones_own(tmp_path: Path) -> None:
    """A model that somebody has put into the folder of an interrupted run."""
    folder = begun(tmp_path, small_config())
    folder.begin_session({"started": "Monday"})
    folder.update_environment(decisions=[])
    (tmp_path / "model").mkdir()
    assert not folder.exported
    for config in (small_config(), replace(rerun(small_config("loss.tau=0.1")))):
        with pytest.raises(RunError, match="was not written by this run"):
            folder.prepare(config)
    assert (tmp_path / "checkpoints/step-00000002/state.ckpt").exists()


def test_what_lies_beside_the_weights_is_not_deleted_with_them(tmp_path: Path) -> None:
    folder = begun(tmp_path, small_config())
    for name in ("config.json", "README.md", "adapter/weights", "model-q4.gguf"):
        (folder.model / name).parent.mkdir(parents=True, exist_ok=True)
        (folder.model / name).write_text("")
    mark = {"files": ["config.json", "README.md", "adapter/weights"]}
    (folder.model / MARK).write_text(json.dumps(mark))
    folder.prepare(small_config())
    with pytest.raises(RunError, match=r"holds what the run has not written: model-q4\.gguf; move it"):
        folder.prepare(rerun(small_config("loss.tau=0.1")))
    assert (tmp_path / "checkpoints/step-00000002/state.ckpt").exists()
    (folder.model / "model-q4.gguf").unlink()
    folder.prepare(rerun(small_config("loss.tau=0.1")))
    assert not folder.model.exists()


def test_only_a_runs_own_temporary_files_are_deleted(tmp_path: Path) -> None:
    mine = [".notes.123.tmp", "src/.config.yaml.123.tmp"]
    of_the_run = [".config.yaml.123.tmp", "evaluation/.before.json.7.tmp", "model/.README.md.7.tmp"]
    folder = begun(tmp_path, small_config())
    for name in (*mine, *of_the_run):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half")
    (folder.model / MARK).write_text("{}")
    with folder.locked():
        folder.prepare(small_config())
    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.tmp")}
    assert left == set(mine)


@pytest.mark.parametrize(
    ("content", "what"),
    [("", "is empty"), ("[", "line 2: not valid YAML"), ("- a", "not the config")],
)
def test_a_damaged_config_is_told(content: str, what: str, tmp_path: Path) -> None:
    folder = begun(tmp_path, small_config())
    folder.config.write_text(content)
    for config in (small_config(), rerun(small_config())):
        with pytest.raises(RunError, match=rf"config\.yaml.*{what}.*nothing there is touched"):
            folder.prepare(config)
    assert folder.config.read_text() == content


def test_the_model_of_an_older_version_counts(tmp_path: Path) -> None:
    folder = begun(tmp_path, small_config())
    (tmp_path / "model").mkdir()
    folder.update_environment(decisions=[])
    assert folder.exported


def test_starting_over_deletes_what_the_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    folder = begun(tmp_path, small_config())
    mine = [
        "notes.md",
        "evaluation/other_model.json",
        "checkpoints/kept/state.ckpt",
        "logs/mine.txt",
        "src/a.py",
    ]
    for file in mine:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("mine")
    folder.prepare(rerun(small_config("loss.tau=0.1")))
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert files == {*mine, "config.yaml"}


def test_a_run_is_the_same_with_other_threads_and_checkpoints() -> None:
    same = ("trainer.threads=1", "trainer.checkpoint_every=3", "trainer.micro_batch=64", "logger=none")
    assert default_folder(small_config(*same)) == default_folder(small_config())
    assert differences(plain(small_config(*same)), small_config()) == []
    assert default_folder(small_config("loss.tau=0.1")) != default_folder(small_config())
    assert default_folder(small_config("seed=1")) != default_folder(small_config())


def test_transforms_and_their_order_make_another_run(tmp_path: Path) -> None:
    runs = [
        small_config(*own)
        for own in (
            (),
            ("transforms=[word_dropout,code_switch]",),
            ("transforms=[code_switch,word_dropout]",),
            ("transforms=[code_switch,word_dropout]", "data.transforms.code_switch.probability=0.2"),
        )
    ]
    assert len({default_folder(own) for own in runs}) == 4
    assert differences(plain(runs[1]), runs[2]) == [
        "data.transforms: in the order word_dropout, code_switch -> code_switch, word_dropout"
    ]
    assert differences(plain(runs[2]), runs[3]) == ["data.transforms.code_switch.probability: 0.3 -> 0.2"]
    for number, own in enumerate(runs):  # as read from the file
        folder = begun(tmp_path / str(number), own)
        assert differences(yaml.safe_load(folder.config.read_text()), own) == []


def test_a_run_with_objectives_of_other_names_goes_on() -> None:
    named = small_config("+loss.objectives.more.kind=retention", "+loss.objectives.more.tokens=8")
    assert differences(plain(named), named) == []
    assert differences(plain(named), small_config("+loss.objectives.more.kind=retention")) == [
        "loss.objectives.more.tokens: 8 -> 16"
    ]


def test_names_and_what_a_preset_knows_are_no_content() -> None:
    """They were those of the preset, in runs of `model=qwen3_0_6b model.path=DIR` by older versions."""
    former = plain(small_config("model=qwen3_0_6b"))
    former["model"] |= {"path": "a/b", "name": "qwen3_0_6b", "depth": 28, "architecture": {"model_type": "x"}}
    assert differences(former, small_config("model=qwen3_0_6b", "model.path=a/b")) == []
    assert differences(former, small_config("model=qwen3_0_6b", "model.path=a/c")) == [
        "model.path: a/b -> a/c"
    ]


def test_what_a_later_version_adds_changes_no_name() -> None:
    """A key with a default in a group, and a group of its own."""

    @dataclass(frozen=True, kw_only=True)
    class Seeds(LanguagesConfig):
        new: int = 3

    @dataclass(frozen=True, kw_only=True)
    class Group:
        new: int = 3

    @dataclass(frozen=True, kw_only=True)
    class Later(Config):
        group: Group

    now = small_config()
    values = {f.name: getattr(now, f.name) for f in fields(now)}
    languages = Seeds(**asdict(now.languages))
    assert default_folder(Later(**values | {"languages": languages, "group": Group()})) == default_folder(now)
    assert default_folder(Later(**values, group=Group(new=4))) != default_folder(now)


def test_a_difference_is_told_once_by_its_shortest_key() -> None:
    former = plain(small_config())
    assert differences(former, small_config("loss.tau=0.1")) == ["loss.tau: 0.05 -> 0.1"]
    changed = small_config("trainer.steps=7", "adapter.r=8")
    assert differences(former, changed) == ["adapter.r: 4 -> 8", "trainer.steps: 6 -> 7"]


def test_a_run_of_an_older_schema_goes_on() -> None:
    """Keys that it lacks have their defaults, keys that there no longer are do not count."""
    former = plain(small_config())
    del former["trainer"]["dropout"], former["data"]["max_rows"], former["loss"]["combine"]
    del former["loss"]["objectives"], former["debug"]
    former["trainer"]["clip"] = "per_objective"
    former["trainer"]["no_longer"] = 3
    former["no_longer"] = {"a": 1}
    assert differences(former, small_config()) == []
    assert differences(former, small_config("trainer.dropout=true")) == ["trainer.dropout: False -> True"]
    assert differences(former, small_config("loss.tau=0.1")) == ["loss.tau: 0.05 -> 0.1"]


def test_the_default_folder_of_an_older_version_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    older = tmp_path / "outputs/another-name-0123abcd"
    older.mkdir(parents=True)
    former = plain(small_config())
    del former["loss"]["objectives"]
    (older / "config.yaml").write_text(yaml.safe_dump(former))
    (tmp_path / "outputs/tiny-afp-damaged0").mkdir()
    (tmp_path / "outputs/tiny-afp-damaged0/config.yaml").write_text("[")
    assert default_folder(small_config()).name == older.name
    assert default_folder(small_config("loss.tau=0.1")).name != older.name


def test_every_session_is_recorded(tmp_path: Path) -> None:
    folder = begun(tmp_path, small_config())
    folder.begin_session({"started": "Monday", "git_commit": "aaa", "versions": {"torch": "1"}})
    folder.update_environment(layer=3)
    (tmp_path / "checkpoints/step-00000004").mkdir()
    folder.begin_session({"started": "Tuesday", "git_commit": "bbb", "versions": {"torch": "2"}})
    known = folder.known()
    assert (known["started"], known["git_commit"], known["layer"]) == ("Monday", "aaa", 3)
    assert [(s["git_commit"], s["versions"]["torch"], s["step"]) for s in known["sessions"]] == [
        ("aaa", "1", 2),
        ("bbb", "2", 4),
    ]


def test_sessions_of_an_older_version(tmp_path: Path) -> None:
    folder = begun(tmp_path, small_config())
    (tmp_path / "environment.json").write_text(json.dumps({"started": "Monday", "git_commit": "aaa"}))
    folder.begin_session({"started": "Tuesday", "git_commit": "bbb"})
    assert [s["git_commit"] for s in folder.known()["sessions"]] == ["aaa", "bbb"]
