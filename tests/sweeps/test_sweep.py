"""Grids: a process a job, what fails does not stop the others, nothing is done twice."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweep_helpers import JUDGED, command, environment, ran, summary, sweep


def test_failed_jobs_are_told_at_the_end_and_only_they_run_again(tmp_path: Path) -> None:
    """One job that raises and one that is killed between two that are well."""
    first = sweep(tmp_path, *JUDGED, "loss.tau=0.02,0.66,0.99,0.05")
    assert first.returncode == 1
    assert "Traceback" not in first.stderr
    assert "2 of 4 jobs failed" in first.stderr
    found = summary(tmp_path)
    assert [job["status"] for job in found["jobs"]] == ["complete", "failed", "failed", "complete"]
    assert found["jobs"][1]["message"] == "no text to be had"
    assert found["jobs"][2]["message"].startswith("ended by SIGKILL (out of memory?)")
    assert "failed 2 (loss.tau=0.66): no text to be had" in first.stdout
    assert found["best"] == [3]
    assert found["commands"][0].endswith("sweep.metric=eval/heldout/retrieval@1/mean loss.tau=0.05")
    folders = {job["folder"] for job in found["jobs"]}
    assert len(folders) == 4
    assert all(Path(folder).name.startswith("tiny-afp-") for folder in folders)
    (page,) = tmp_path.glob("outputs/sweeps/tau-*/summary.md")
    assert "no text to be had" in page.read_text()
    assert (page.parent / "parallel_coordinates.png").exists()

    second = sweep(tmp_path, *JUDGED, "loss.tau=0.02,0.66,0.99,0.05")
    assert second.returncode == 1
    assert ran(tmp_path) == ["0.02", "0.66", "0.99", "0.05", "0.66", "0.99"]


def test_the_command_of_a_job_finds_its_folder(tmp_path: Path) -> None:
    """What a run writes down as its command, and what the summary gives for the best, are that run's own."""
    done = sweep(tmp_path, *JUDGED, "loss.tau=0.02,0.05", "loss.layer=6,9", "run.dir=mine")
    assert done.returncode == 0, done.stderr
    (best,) = (job for job in summary(tmp_path)["jobs"] if job["number"] == summary(tmp_path)["best"][0])
    assert best["folder"].startswith("mine/tiny-afp-")
    written = json.loads((tmp_path / best["folder"] / "environment.json").read_text())["command"]
    own = {"loss.tau=0.05", "loss.layer=6", f"run.dir={best['folder']}"}
    assert set(written) == {"experiment=quick", *JUDGED, *own}
    assert set(summary(tmp_path)["commands"][0].split()[3:]) == set(written)


def test_a_signal_reaches_the_job_and_the_same_command_goes_on(tmp_path: Path) -> None:
    arguments = ("seed=0,7,8",)
    started = subprocess.Popen(
        command(*arguments), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("outputs/*/waited")):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.05)
    time.sleep(0.3)
    started.send_signal(signal.SIGTERM)
    started.communicate(timeout=30)
    assert started.returncode == 143
    assert [job["status"] for job in summary(tmp_path)["jobs"]] == ["complete", "stopped"]
    again = sweep(tmp_path, *arguments)
    assert again.returncode == 0, again.stderr
    assert len(ran(tmp_path)) == 4
    assert [job["status"] for job in summary(tmp_path)["jobs"]] == ["complete"] * 3


def test_without_a_figure_of_validation_nothing_is_called_best(tmp_path: Path) -> None:
    done = sweep(tmp_path, "loss.tau=0.02,0.05")
    assert done.returncode == 0, done.stderr
    assert summary(tmp_path)["best"] == []
    assert "none is called best" in done.stdout
    (folder,) = tmp_path.glob("outputs/sweeps/*")
    (folder / "summary.md").unlink()
    again = subprocess.run(
        [sys.executable, "-m", "xalign.report", str(folder)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "none is called best" in again.stdout
    assert (folder / "summary.md").exists()


def test_importance_goes_to_the_key_that_matters(tmp_path: Path) -> None:
    done = sweep(tmp_path, *JUDGED, "loss.tau=0.02,0.05,0.1", "loss.layer=6,9")
    assert done.returncode == 0, done.stderr
    (shares,) = summary(tmp_path)["importance"].values()
    assert shares["loss.tau"] > 0.9
    assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
