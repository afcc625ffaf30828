"""Runs and measurements of what is on the hub, by the commands that people type."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hub_commands import Commands, stand_in_only
from models_there import MOVING, XGLM
from sets_there import BACTRIAN, CONVERTED, OPUS, PAWSX, XCOPA, XNLI, XSTORYCLOZE, XWINOGRAD
from stand_in import Fault, Hub, commit_of

MEASURE = ["benchmark=xcopa", "benchmark.languages=[et]", "benchmark.limit=2"]
SHORT = [
    "trainer.steps=2",
    "trainer.batch_size=8",
    "trainer.instruction_batch_size=2",
    "trainer.instruction_max_length=64",
    "trainer.max_length=48",
    "benchmark.tasks=[retrieval]",
    "benchmark.limit=6",
    "run.dir=run",
]


def environment(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run" / "environment.json").read_text())


def test_xglm_by_its_name_alone(command: Commands, text: Path) -> None:
    own = ["languages=en_zh", f"data.path={text}", "data=files"]
    tasks = "benchmark.tasks=[retrieval,xwinograd]"
    done = command("run", "model=xglm", "loss.tau=0.05", *own, *SHORT, tasks, "benchmark.shots=0")
    assert done.code == 0, done.err
    known = environment(done.folder)["hub"]
    assert known["model.path"]["repository"] == XGLM
    assert len(known["model.path"]["commit"]) == 40
    assert f"model {XGLM}: commit {known['model.path']['commit'][:12]}, licence mit" in done.err
    assert "HTTP Request" not in done.err + done.out
    if command.hub is not None:
        weights = [
            name for name in done.fetched if name.endswith((".safetensors", ".bin", ".msgpack", ".model"))
        ]
        assert weights == ["sentencepiece.bpe.model", "model.safetensors"]
        assert f"downloading model {XGLM}: 1 file, " in done.err
        # Of a script, the commit of the copy as files.
        copy = command.hub.folder / "datasets" / XWINOGRAD / CONVERTED
        assert known[f"benchmark.{XWINOGRAD}"] == {"repository": XWINOGRAD, "commit": commit_of(copy)}


def test_the_paper_s_run_in_two_languages(command: Commands) -> None:
    done = command("run", "experiment=afp_xglm_en_zh", *SHORT)
    assert done.code == 0, done.err
    known = environment(done.folder)["hub"]
    assert {key: own["repository"] for key, own in known.items()} == {
        "model.path": XGLM,
        "data.hub": OPUS,
        "instructions.hub": BACTRIAN,
    }
    assert all(len(own["commit"]) == 40 for own in known.values())
    if command.hub is not None:
        assert {"en.json.gz", "zh.json.gz"} <= set(done.fetched)
        assert not any("test-" in name for name in done.fetched)  # the split that is trained on
        assert f"dataset {BACTRIAN}: commit " in done.err
        assert ", licence cc-by-nc-4.0" in done.err
    losses = [json.loads(line) for line in (done.folder / "run" / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 2
    assert all(own["loss/instruction"] > 0 for own in losses)


def test_the_paper_s_run_in_five_languages(command: Commands, text: Path) -> None:
    done = command("run", "experiment=afp_xglm_5lang", f"data.path={text}", *SHORT)
    assert done.code == 0, done.err
    if command.hub is not None:
        assert {f"{code}.json.gz" for code in ("th", "tr", "sw")} <= set(done.fetched)
        assert "tl.json.gz" not in done.fetched


def test_the_paper_s_five_sets_in_all_their_languages(command: Commands) -> None:
    done = command("evaluate", "model=xglm", "benchmark=afp", "benchmark.limit=2", "output=results.json")
    assert done.code == 0, done.err
    rows = json.loads((done.folder / "results.json").read_text())["results"]
    measured: dict[str, set[str]] = {}
    for row in rows:
        measured.setdefault(row["benchmark"], set()).add(row["language"])
    sizes = {"xnli": 15, "pawsx": 7, "xcopa": 11, "xstorycloze": 11, "xwinograd": 6}
    assert {name: len(languages) for name, languages in measured.items()} == sizes
    assert f"xnli: the hub's {XNLI} has no my" in done.err
    assert "HTTP Request" not in done.err + done.out
    if command.hub is not None:
        assert not [name for name in done.fetched if name.startswith("train-")]
        for name in (XNLI, PAWSX, XCOPA, XSTORYCLOZE, XWINOGRAD):
            assert any(f"/api/datasets/{name}" in line for line in done.asked)


def test_flores_in_the_run_s_languages(command: Commands, member: dict[str, str]) -> None:
    flores = ["benchmark=flores", "benchmark.tasks=[retrieval]", "benchmark.limit=8", "benchmark.shots=0"]
    done = command(
        "evaluate", "model=xglm", *flores, "languages.targets=[zh,tr]", "output=results.json", **member
    )
    assert done.code == 0, done.err
    rows = json.loads((done.folder / "results.json").read_text())["results"]
    assert {row["language"] for row in rows} == {"zh", "tr"}
    if command.hub is not None:
        wanted = {"eng_Latn.parquet", "cmn_Hans.parquet", "tur_Latn.parquet"}
        assert {name for name in done.fetched if name.endswith(".parquet")} == wanted


def test_belebele(command: Commands) -> None:
    own = ["benchmark=belebele", "benchmark.languages=[sw]", "benchmark.limit=2", "output=results.json"]
    done = command("evaluate", "model=xglm", *own)
    assert done.code == 0, done.err
    rows = json.loads((done.folder / "results.json").read_text())["results"]
    assert {(row["language"], row["n"]) for row in rows} == {("sw", 2)}


@stand_in_only
def test_a_branch_that_moves_between_two_sessions(
    command: Commands, hub: Hub, repositories: Path, text: Path
) -> None:
    own = ["model.path=some/moving", "languages=en_zh", f"data.path={text}", "data=files", *SHORT]
    own += ["adapter=lora", "trainer.checkpoint_every=1"]
    first = command("run", *own)
    assert first.code == 0, first.err
    commit = environment(first.folder)["hub"]["model.path"]["commit"]
    readme = repositories / "models" / MOVING / "main" / "README.md"
    config = readme.with_name("config.json")
    config.write_text(config.read_text().replace('"attention_heads": 4', '"attention_heads": 2'))
    for name in ("DONE", "model/xalign.json"):
        (first.folder / "run" / name).unlink()
    shutil.rmtree(first.folder / "run" / "model")
    again = command("run", *own, folder=first.folder)
    assert again.code == 0, again.err
    assert environment(again.folder)["hub"]["model.path"]["commit"] == commit
    assert '"attention_heads": 4' in (again.folder / "run" / "model" / "config.json").read_text()
    fresh = command("evaluate", "model.path=some/moving", *MEASURE)
    assert f"model {MOVING}: commit {commit_of(config.parent)[:12]}" in fresh.err
    assert commit_of(config.parent) != commit


@stand_in_only
@pytest.mark.parametrize("how", ["down", "offline"])
def test_without_a_hub_the_cache_serves_at_once(command: Commands, hub: Hub, how: str, text: Path) -> None:
    own = ["model=xglm", "benchmark=xcopa", "benchmark.languages=[et,sw]", "benchmark.limit=2"]
    warm = command("evaluate", *own)
    assert warm.code == 0, warm.err
    hub.faults.append(Fault(" "))
    environment = {"HF_HUB_OFFLINE": "1"} if how == "offline" else {}
    done = command("evaluate", *own, **environment)
    assert done.code == 0, done.err
    assert done.err.count("the Hugging Face hub is not asked") == 1
    assert done.out == warm.out
    assert len(done.asked) == (0 if how == "offline" else 1)
