"""`python -m xalign.analyze`: its command line, and the whole way on a tiny model."""

import json
import sys
from pathlib import Path

import pytest
import yaml
from matplotlib.image import imread

from xalign.analyze import main, with_models_as_key
from xalign.base.errors import ConfigError
from xalign.cli.command_line import check, compose_config
from xalign.cli.validation import resolve
from xalign.config.schema import AnalyzeConfig, Config
from xalign.options.plain import plain
from xalign.runs.analysis import config_of_run, subjects_of, with_text_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    rows = [f"The {i} th page of a file was opened\tDie Seite {i} einer Datei war offen" for i in range(60)]
    (tmp_path / "pairs.tsv").write_text("\n".join(["en\tde", *rows]) + "\n")
    return tmp_path


def written_run(folder: Path, *overrides: str) -> Path:
    """A folder with the config of a run and, as far as can be seen without torch, its model."""
    own = ("model=tiny", "languages.targets=[de]", "languages.unseen=[]", *overrides)
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "config.json").write_text("{}")
    content = plain(resolve(compose_config("config", own), Config))
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


def asked(*arguments: str) -> AnalyzeConfig:
    return resolve(compose_config("analyze", with_models_as_key(arguments)), AnalyzeConfig)


def test_models_stand_without_a_key(place: Path) -> None:
    (place / "loss.tau=0.05").mkdir()
    odd = 'a "b", c'
    given = ["--cfg", "job", "loss.tau=0.05", odd, "~/x", "org/model", "seed=3", "~threads"]
    rewritten = with_models_as_key(given)
    assert rewritten[:4] == ["--cfg", "job", "seed=3", "~threads"]
    assert compose_config("analyze", rewritten[2:3] + rewritten[4:]).models == [
        "loss.tau=0.05", odd, "~/x", "org/model",
    ]  # fmt: skip
    assert with_models_as_key(["model=tiny", "models=[a]"]) == ["model=tiny", "models=[a]"]
    with pytest.raises(ConfigError, match=r"models=\[a\]: b is given without a key"):
        with_models_as_key(["b", "models=[a]"])


def test_a_run_brings_its_own_model_languages_and_text(place: Path) -> None:
    written_run(place / "run")
    with pytest.raises(ConfigError) as error:
        with_models_as_key(["run", "model=tiny", "data.path=x", "languages=en_zh", "benchmark=heldout"])
    assert [problem.split(":")[0] for problem in error.value.problems] == [
        "model=tiny", "data.path=x", "languages=en_zh",
    ]  # fmt: skip
    assert "run is a run, and has its own" in str(error.value)


def test_runs_are_their_base_model_and_their_own(place: Path) -> None:
    """Of one alone `before` and `after`; of several a base model that they share comes once."""
    for name, changes in (("a", ()), ("b", ("loss.tau=0.1",)), ("c", ("seed=1",))):
        written_run(place / name, "data.path=pairs.tsv", *changes)
    written_run(place / "other", "data.path=other.tsv")

    def titles(*models: str) -> list[str]:
        config = asked(*models)
        return [s.title for s in subjects_of(config, {m: config_of_run(Path(m)) for m in models})]

    assert titles("a") == ["before", "after"]
    assert titles("a", "b") == ["tiny", "a", "b"]
    with pytest.raises(ConfigError, match="several are named tiny"):  # random weights of another seed
        titles("a", "c")
    runs = {name: config_of_run(Path(name)) for name in ("a", "b", "other")}
    assert with_text_of(asked("a", "b"), {k: runs[k] for k in ("a", "b")}).data.path == "pairs.tsv"
    with pytest.raises(ConfigError, match="a and other have different languages or data"):
        with_text_of(asked("a", "other"), {k: runs[k] for k in ("a", "other")})
    shared = asked("a", "other", "benchmark=flores", "benchmark.path=x")
    assert with_text_of(shared, {k: runs[k] for k in ("a", "other")}).languages.targets == ["de"]


def test_a_run_without_a_model_is_refused_before_anything_is_loaded(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (written_run(place / "run") / "model" / "config.json").unlink()
    monkeypatch.setattr(sys, "argv", ["analyze", *with_models_as_key(["run"])])
    with pytest.raises(ConfigError, match="models=run: this run has no model yet"):
        check("xalign.analyze", "analyze", AnalyzeConfig)


def test_the_whole_way_and_nothing_is_overwritten(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = ["model=tiny", "data.path=pairs.tsv", "data.test_fraction=0.5", "languages.targets=[de]"]
    own += ["languages.unseen=[]", "analyses.language_probe.folds=2", "output=found"]
    monkeypatch.setattr(sys, "argv", ["analyze", *own])
    main()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == [
        "CKA with the pivot, tiny",
        "Variance of sentences, tiny",
        "Language probe, tiny",
        "found",
    ]
    found = json.loads((place / "found/tiny.analyses.json").read_text())
    assert found["analyses"]["cka"]["findings"]["languages"] == ["de"]
    assert found["analyses"]["language_probe"]["findings"]["layers"] == [0, 1, 2, 3, 4]
    for name in ("cka", "concept_variance", "language_probe"):
        assert imread(place / f"found/{name}.png").shape[1] == 1500
    stamps = {path: path.stat().st_mtime_ns for path in (place / "found").iterdir()}
    assert len(stamps) == 4
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert "output=found: holds tiny.analyses.json, cka.png, concept_variance.png," in message
    assert {path: path.stat().st_mtime_ns for path in (place / "found").iterdir()} == stamps
