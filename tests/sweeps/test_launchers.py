"""joblib, submitit and Ray: the same jobs, elsewhere."""

import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from sweep_helpers import JUDGED, command, environment, ran, summary, sweep

SIX = (*JUDGED, "loss.tau=0.02,0.05,0.1", "loss.layer=6,9")


def test_joblib_divides_cores_and_gpus_and_a_second_call_runs_nothing(tmp_path: Path) -> None:
    arguments = (*SIX, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    done = sweep(tmp_path, *arguments, CUDA_VISIBLE_DEVICES="4,6,7")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in (tmp_path / "outputs/ran.txt").read_text().splitlines()]
    assert {shared for _, _, shared, _ in lines} == {"2"}
    assert {gpu for *_, gpu in lines} == {"4", "6"}
    assert [job["status"] for job in summary(tmp_path)["jobs"]] == ["complete"] * 6
    assert len({job["folder"] for job in summary(tmp_path)["jobs"]}) == 6
    assert sweep(tmp_path, *arguments).returncode == 0
    # Nor does a launcher of another kind.
    assert sweep(tmp_path, *SIX).returncode == 0
    assert len(ran(tmp_path)) == 6


def test_joblib_survives_jobs_that_die(tmp_path: Path) -> None:
    done = sweep(
        tmp_path, "loss.tau=0.99,0.02,0.66,0.05", "seed=9", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"
    )  # fmt: skip
    assert done.returncode == 1
    assert [job["status"] for job in summary(tmp_path)["jobs"]] == [
        "failed",
        "complete",
        "failed",
        "complete",
    ]


def test_jobs_end_with_the_sweep_that_started_them(tmp_path: Path) -> None:
    """SIGKILL of the main process: workers notice, and their jobs are told to stop."""
    started = subprocess.Popen(
        command("seed=7,8", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
        cwd=tmp_path,
        env=environment(),
        stderr=subprocess.DEVNULL,
    )
    _until(lambda: any(file.read_text() for file in tmp_path.glob("outputs/*/waited")))
    (waiting,) = tmp_path.glob("outputs/*/waited")
    started.send_signal(signal.SIGKILL)
    started.wait()
    _until(lambda: not _alive(int(waiting.read_text())), 20)


def _alive(process: int) -> bool:
    return psutil.pid_exists(process) and psutil.Process(process).status() != psutil.STATUS_ZOMBIE


def _until(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_submitit_local_really_runs(tmp_path: Path) -> None:
    done = sweep(tmp_path, *JUDGED, "loss.tau=0.02,0.05", "hydra/launcher=submitit_local")
    assert done.returncode == 0, done.stderr
    assert sorted(ran(tmp_path)) == ["0.02", "0.05"]
    assert summary(tmp_path)["best"] == [1]
    assert list(tmp_path.glob("outputs/sweeps/*/.submitit/*/*_log.out"))


SBATCH = """#!/bin/bash
# Takes a batch script as Slurm does, keeps it, and runs its array here later, one task after the other.
script="${@: -1}"
cp "$script" "$FAKE_SLURM/script.sh"
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\).*/\\1/p' "$script")
echo "Submitted batch job 4242"
(for task in $(seq 0 "$last"); do
  SLURM_JOB_ID=$((5000 + task)) SLURM_ARRAY_JOB_ID=4242 SLURM_ARRAY_TASK_ID=$task SLURM_NTASKS=1 \\
  SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_JOB_NODELIST=here \\
  bash "$script" > "$FAKE_SLURM/$task.log" 2>&1
done) > /dev/null 2>&1 &
"""
SRUN = """#!/bin/bash
# What follows the options is the command.
while [[ "$1" == -* ]]; do
  case "$1" in --output|--error) shift 2 ;; *) shift ;; esac
done
exec "$@"
"""
SACCT = """#!/bin/bash
echo "JobID|State|NodeList"
for task in 0 1; do echo "4242_$task|COMPLETED|here"; done
"""


def test_slurm_gets_the_batch_script_that_is_meant(tmp_path: Path) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    for name, text in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT}.items():
        (fake / name).write_text(text)
        (fake / name).chmod((fake / name).stat().st_mode | stat.S_IXUSR)
    done = sweep(
        tmp_path, *JUDGED, "loss.tau=0.02,0.05", "hydra/launcher=submitit_slurm",
        "hydra.launcher.timeout_min=90", "hydra.launcher.partition=short",
        "hydra.launcher.cpus_per_task=4", "hydra.launcher.mem_gb=16",
        "hydra.launcher.gpus_per_node=1", "hydra.launcher.array_parallelism=1",
        PATH=f"{fake}{os.pathsep}{os.environ['PATH']}", FAKE_SLURM=str(fake),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    script = (fake / "script.sh").read_text()
    for line in (
        "--array=0-1%1", "--partition=short", "--time=90", "--cpus-per-task=4", "--mem=16GB",
        "--gpus-per-node=1", "--nodes=1", "--ntasks-per-node=1", "--signal=USR2@120", "--open-mode=append",
    ):  # fmt: skip
        assert f"#SBATCH {line}\n" in script, line
    assert "submitit.core._submit" in script
    assert str(Path("outputs/sweeps")) in script
    assert sorted(ran(tmp_path)) == ["0.02", "0.05"]
    assert [job["status"] for job in summary(tmp_path)["jobs"]] == ["complete"] * 2


@pytest.mark.slow
def test_ray_runs_two_at_once(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    done = sweep(tmp_path, *JUDGED, "loss.tau=0.02,0.66,0.05", "hydra/launcher=ray")
    assert done.returncode == 1
    assert [job["status"] for job in summary(tmp_path)["jobs"]] == ["complete", "failed", "complete"]


MISTAKES = {
    "hydra/launcher=joblb": "no such option; did you mean 'joblib'?",
    "hydra.launcher.n_job=2": "n_job",
    "hydra/launcher=submitit_slurm": "no sbatch on this machine",
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_about_launchers_give_one_message(mistake: str, tmp_path: Path) -> None:
    done = sweep(tmp_path, "loss.tau=0.02,0.05", mistake, PATH="/usr/bin:/bin")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert MISTAKES[mistake] in done.stderr


def test_what_slurm_refuses_is_told_in_its_words(tmp_path: Path) -> None:
    fake = tmp_path / "bin"
    fake.mkdir()
    for name, text in {"sbatch": "echo 'invalid partition specified: shrt' >&2; exit 1", "srun": ""}.items():
        (fake / name).write_text(f"#!/bin/bash\n{text}\n")
        (fake / name).chmod(0o755)
    done = sweep(
        tmp_path, "loss.tau=0.02,0.05", "hydra/launcher=submitit_slurm", "hydra.launcher.partition=shrt",
        PATH=f"{fake}{os.pathsep}{os.environ['PATH']}",
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "invalid partition specified: shrt" in done.stderr
