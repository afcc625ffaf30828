"""`hydra/sweeper=optuna`: draws, resumes, gives trials up, and never runs one again."""

import signal
import subprocess
import time
from pathlib import Path

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState
from sweep_helpers import JUDGED, command, environment, ran, summary, sweep

from xalign.config.schema import SweepConfig
from xalign.sweeps.axes import distribution, sampler
from xalign.trials.study import open_study

SEARCH = (
    *JUDGED, "hydra/sweeper=optuna", "sweep.trials=8", "sweep.startup=3", "loss.layer=choice(6,9)",
    "loss.tau=tag(log,interval(0.01,0.2))",
)  # fmt: skip


def test_a_killed_search_goes_on_and_ends_with_eight_trials(tmp_path: Path) -> None:
    """SIGKILL once three trials are done: the fourth is taken up again, and all are those of a search that
    was never interrupted."""
    whole = tmp_path / "whole"
    whole.mkdir()
    done = sweep(whole, *SEARCH)
    assert done.returncode == 0, done.stderr
    started = subprocess.Popen(
        command(*SEARCH),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 100
    while len(ran(tmp_path)) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    started.wait()
    before = ran(tmp_path)
    again = sweep(tmp_path, *SEARCH)
    assert again.returncode == 0, again.stderr
    assert "of 8 trials are done" in again.stderr
    jobs = summary(tmp_path)["jobs"]
    assert [job["number"] for job in jobs] == list(range(8))
    assert [job["status"] for job in jobs] == ["complete"] * 8
    assert [job["values"] for job in jobs] == [job["values"] for job in summary(whole)["jobs"]]
    started_again = ran(tmp_path)[len(before) :]
    assert len(started_again) in (4, 5)
    assert not set(before[:3]) & set(started_again)
    # Nothing is left to do, but to do more.
    assert sweep(tmp_path, *SEARCH).returncode == 0
    assert len(ran(tmp_path)) == len(before) + len(started_again)
    more = sweep(tmp_path, *SEARCH, "sweep.trials=10")
    assert more.returncode == 0
    assert len(summary(tmp_path)["jobs"]) == 10


def test_failed_trials_are_kept_apart_and_taken_up_again(tmp_path: Path) -> None:
    arguments = (
        *JUDGED, "hydra/sweeper=optuna", "sweep.trials=4", "loss.tau=choice(0.05,0.66)", "seed=range(0,100)",
    )  # fmt: skip
    first = sweep(tmp_path, *arguments)
    jobs = summary(tmp_path)["jobs"]
    failed = [job for job in jobs if job["status"] == "failed"]
    assert len(jobs) == 4
    assert failed
    assert first.returncode == 1
    before = len(ran(tmp_path))
    sweep(tmp_path, *arguments)
    assert len(ran(tmp_path)) == before + len(failed)
    assert len(summary(tmp_path)["jobs"]) == 4


def test_two_figures_and_two_jobs_at_once(tmp_path: Path) -> None:
    done = sweep(
        tmp_path, *SEARCH, "sweep.trials=4", "sweep.also=[eval/heldout/bits_per_byte/mean]",
        "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = summary(tmp_path)
    assert found["sweep"]["at_once"] == 2
    assert all(len(job["values"]) == 2 for job in found["jobs"])
    # In the stand-in both figures are the same number, of which more and less are better: none beats another.
    assert len(found["best"]) == len({tuple(job["values"]) for job in found["jobs"]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=interval(0.1,0.5)", FloatDistribution(0.1, 0.5)),
        ("a=interval(1,3)", FloatDistribution(1, 3)),
        ("a=tag(log,interval(0.01,0.2))", FloatDistribution(0.01, 0.2, log=True)),
        ("a=int(interval(1,12))", IntDistribution(1, 12)),
        ("a=range(2,13,4)", IntDistribution(2, 10, step=4)),
        ("a=choice(lora,full)", CategoricalDistribution(["lora", "full"])),
        ("a=0.1,0.2", CategoricalDistribution(["0.1", "0.2"])),
    ],
)
def test_axes_become_distributions(text: str, expected: object) -> None:
    assert distribution(OverridesParser.create().parse_override(text)) == expected


def test_a_trial_below_the_median_is_given_up(tmp_path: Path) -> None:
    """The study as jobs see it: each opens the file by itself."""
    settings = SweepConfig(startup=2)
    study = open_study(tmp_path / "study.log", [False], settings)
    space = {"loss.tau": FloatDistribution(0.01, 0.2)}
    for value in (0.5, 0.6):
        study.sampler = sampler(settings, 0, len(study.trials))
        trial = study.ask(space)
        trial.report(value, 10)
        study.tell(trial, value)
    poor, good = study.ask(space), study.ask(space)
    seen = open_study(tmp_path / "study.log", [False], settings)
    for trial, value, expected in ((poor, 0.1, True), (good, 0.9, False)):
        own = optuna.trial.Trial(seen, trial._trial_id)
        own.report(value, 10)
        assert bool(own.should_prune()) is expected
    study.tell(poor.number, state=TrialState.PRUNED)
    assert study.best_value == 0.6
