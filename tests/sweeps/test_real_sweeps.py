"""Sweeps whose jobs really train, on the tiny model: what the stand-in cannot show."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from optuna.distributions import FloatDistribution
from sweep_helpers import ROOT, summary

from xalign.config.schema import SweepConfig
from xalign.trials.study import open_study

SMALL = (
    "experiment=quick", "model=tiny", "trainer.precision=fp32", "benchmark.precision=fp32",
    "trainer.batch_size=4", "trainer.instruction_batch_size=2",
    "benchmark.limit=8", "benchmark.tasks=[bits_per_byte]",
    "loss.retention_weight=0", "trainer.checkpoint_every=2", "data.path=corpus",
)  # fmt: skip
PO = """msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    file = tmp_path / "corpus" / "zh_Hans" / "LC_MESSAGES" / "django.po"
    file.parent.mkdir(parents=True)
    entries = (
        f'msgid "Please open file number {i} now"\nmsgstr "\u8bf7\u6253\u5f00\u6587\u4ef6 {i}"\n'
        for i in range(150)
    )
    file.write_text(PO + "\n".join(entries), encoding="utf-8")
    return tmp_path


def sweep(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xalign.run", "-m", *SMALL, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=270,
        check=False,
    )


@pytest.mark.slow
def test_jobs_of_two_ranks(place: Path) -> None:
    """The trap: a rank that composes for itself runs the whole sweep again, in folders of its own."""
    done = sweep(place, "strategy=ddp", "trainer.devices=2", "seed=0,1", "trainer.steps=3")
    assert done.returncode == 0, done.stderr
    runs = sorted((place / "outputs").glob("tiny-*"))
    assert len(runs) == 2
    assert {path.name for path in (place / "outputs").iterdir()} == {"sweeps", *(run.name for run in runs)}
    losses = []
    for run in runs:
        lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [line["step"] for line in lines] == [1, 2, 3]
        losses.append([line["loss"] for line in lines])
    assert losses[0] != losses[1]
    assert [job["status"] for job in summary(place)["jobs"]] == ["complete"] * 2


@pytest.mark.slow
def test_a_search_gives_up_what_is_worse(place: Path) -> None:
    """Of learning rates from useless to ruinous some are given up; the best is the run's own best."""
    figure = "eval/heldout/bits_per_byte/mean"
    done = sweep(
        place, "hydra/sweeper=optuna", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
        "sweep.trials=8", "sweep.startup=2", "optimizer.lr=tag(log,interval(1e-6,10))",
        "benchmark@validation=heldout",
        "validation.tasks=[bits_per_byte]", "trainer.evaluate_every=1", "trainer.steps=4",
        f"sweep.metric={figure}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = summary(place)
    statuses = [job["status"] for job in found["jobs"]]
    assert len(statuses) == 8
    assert set(statuses) == {"complete", "pruned"}
    values = {job["number"]: job["values"][0] for job in found["jobs"] if job["values"]}
    assert values[found["best"][0]] == min(values.values())
    best = found["jobs"][found["best"][0]]
    lines = (place / best["folder"] / "metrics.jsonl").read_text().splitlines()
    assert best["values"] == [json.loads(lines[-1])[figure]]
    (rate,) = (override for override in best["overrides"] if override.startswith("optimizer.lr="))
    assert found["commands"][0].endswith(rate)


@pytest.mark.slow
def test_two_ranks_give_a_trial_up_together(place: Path) -> None:
    """The first rank asks the search, both stop at that step, and the run that waits for them ends there."""
    figure = "eval/heldout/bits_per_byte/mean"
    study = open_study(place / "study.log", [True], SweepConfig(startup=1))
    for _ in range(2):
        trial = study.ask({"loss.tau": FloatDistribution(0.01, 0.2)})
        trial.report(0.1, 2)  # bits a byte that no model reaches
        study.tell(trial, 0.1)
    study.ask({"loss.tau": FloatDistribution(0.01, 0.2)})
    done = subprocess.run(
        [
            sys.executable, "-m", "xalign.run", *SMALL, "run.dir=run", "strategy=ddp", "trainer.devices=2",
            "benchmark@validation=heldout", "validation.tasks=[bits_per_byte]", "trainer.evaluate_every=2",
            f"sweep.metric={figure}", "sweep.study=study.log", "sweep.trial=2", "sweep.startup=1",
        ],
        cwd=place, capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "given up at step 2" in done.stderr
    assert "Traceback" not in done.stderr
    assert len((place / "run" / "metrics.jsonl").read_text().splitlines()) == 2
    assert not (place / "run" / "model").exists()
