"""A package outside xalign adds parts to it, an objective with parameters of its own among them: installed as
any other, and held to the same promises as ours."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from training_helpers import timeless

HERE = Path(__file__).parent
SUBJECTS = ("the dog der Hund", "a bird ein Vogel", "my sister meine Schwester", "our teacher unser Lehrer")
VERBS = ("sees sieht", "hears hört", "paints malt", "buys kauft", "finds findet")
OBJECTS = (
    "the old house das alte Haus",
    "a red apple einen roten Apfel",
    "two cold rivers zwei kalte Flüsse",
)
TOP = HERE.parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pip has put the example, as it puts a user's package."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    # A copy: setuptools builds in the source's folder.
    subprocess.run(["cp", "-r", f"{HERE}/package/.", source], check=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*command, "--target", target, source], check=True, capture_output=True)
    return target


def with_it(installed: Path, *command: str, ok: int = 0) -> str:
    """Run a Python module where the example is installed; what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env=environment(installed),
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == ok, done.stdout + done.stderr
    return done.stdout + done.stderr


def environment(installed: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(HERE), str(TOP)])}


def pytest_of(installed: Path, file: str, chosen: str) -> str:
    suite = ["pytest", "-q", "-p", "formula_of_matching", "-p", "no:cacheprovider", file, "-k", chosen]
    return with_it(installed, *suite)


def bitext() -> str:
    """180 pairs of sentences."""
    halves = [[part.split() for part in parts] for parts in (SUBJECTS, VERBS, OBJECTS)]
    lines = []
    for number, words in enumerate(itertools.product(*halves, range(3))):
        sides = [
            " ".join(word for part in words[:3] for word in part[: len(part) // 2 or None]),
            " ".join(word for part in words[:3] for word in part[len(part) // 2 :]),
        ]
        lines.append(f"{sides[0]} {number} ||| {sides[1]} {number}\n")
    return "".join(lines)


def test_it_is_small() -> None:
    assert len((HERE / "package/matching_example/matching.py").read_text().splitlines()) <= 60
    declared = [
        line for line in (HERE / "package/pyproject.toml").read_text().splitlines() if "xalign." in line
    ]
    assert sum("objectives" in line for line in declared) == 1


def test_the_contract_holds_for_it(installed: Path) -> None:
    found = pytest_of(installed, "tests/objectives/test_contract.py", "matching and not language_matching")
    # Micro-batches (2), sampling, resuming, checkpoint, weights, turns, the formula (2), operations (2),
    # needs.
    assert "12 passed" in found


@pytest.mark.slow
def test_two_ranks_are_one_with_it(installed: Path) -> None:
    found = pytest_of(installed, "tests/training/test_ranks.py", "two_ranks_equal_one and llama-lora")
    assert "2 passed" in found  # DDP and FSDP


def test_it_trains_resumes_plans_and_is_reported(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "news.en-de.bitext").write_text(bitext(), encoding="utf-8")
    run = tmp_path / "run"
    keys = [
        "xalign.run", "experiment=quick", "languages.targets=[de]", f"data.path={tmp_path}",
        "loss=matching", "loss.objectives.matching.dimensions=8", f"run.dir={run}",
    ]  # fmt: skip
    assert "matching" in with_it(installed, *keys, "plan=true")
    assert not run.exists()
    with_it(installed, *keys, "transforms=shouting", "data.transforms.shouting.share=0.5", "analyses=norms")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 7))
    assert all(line["loss/matching"] > 0 and 0 <= line["matching_accuracy"] <= 1 for line in lines)
    head = load_file(run / "model" / "objectives" / "matching.safetensors")
    assert head["weight"].shape[0] == 8
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "matching" in report
    assert "Length of sentence vectors" in report
    found = json.loads((run / "evaluation" / "after.analyses.json").read_text())["analyses"]["norms"][
        "findings"
    ]
    assert found["languages"] == ["de"]
    assert all(value > 0 for value in found["values"][0])
    # Its reader read the corpus: nothing else here knows the ending.
    assert json.loads((run / "environment.json").read_text())["corpus"]["de"] > 50


@pytest.mark.slow
def test_sharded_it_resumes_with_the_same_bits(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "news.en-de.bitext").write_text(bitext(), encoding="utf-8")
    keys = [
        "xalign.run", "experiment=quick", "languages.targets=[de]", f"data.path={tmp_path}", "loss=matching",
        "strategy=fsdp", "trainer.devices=2", "trainer.steps=40",
    ]  # fmt: skip
    with_it(installed, *keys, f"run.dir={tmp_path / 'whole'}")
    log = tmp_path / "cut" / "metrics.jsonl"
    with subprocess.Popen(
        [sys.executable, "-m", *keys, f"run.dir={tmp_path / 'cut'}"],
        env=environment(installed), cwd=TOP, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        while process.poll() is None and not (log.exists() and len(log.read_text().splitlines()) > 3):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
    assert process.returncode != 0
    assert len(log.read_text().splitlines()) < 40
    with_it(installed, *keys, f"run.dir={tmp_path / 'cut'}")
    assert timeless(tmp_path / "cut") == timeless(tmp_path / "whole")
    heads = [load_file(tmp_path / run / "model/objectives/matching.safetensors") for run in ("cut", "whole")]
    assert torch.equal(heads[0]["weight"], heads[1]["weight"])


def test_mistakes_in_its_options_are_told_like_ours(installed: Path, tmp_path: Path) -> None:
    run = ["xalign.run", "experiment=quick", "loss=matching", f"run.dir={tmp_path / 'run'}"]
    found = with_it(installed, *run, "loss.objectives.matching.dimension=8", ok=2)
    assert "loss.objectives.matching.dimension" in found
    assert "did you mean 'dimensions'" in found
    found = with_it(installed, "xalign.run", "loss=matchin", ok=2)
    assert "did you mean 'matching'" in found
    assert "matching" in with_it(installed, "xalign.run", "--help")
