"""Ranks as processes: killed, hung, failing, stopped, orphaned; started by torchrun and by Slurm."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from test_run import catalogues
from torch.distributed import TCPStore
from training_helpers import small_config

from xalign.base.errors import ConfigError, RunError, Stopped
from xalign.distributed.world import World, placed, world_of_launcher
from xalign.runs.failures import Cause, Failure, failure_in, failure_of, log_of, report
from xalign.runs.launch import RankError, _raise_failure
from xalign.training.checkpoints import newest
from xalign.workspace.folder import RunFolder

CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGUSR1": 138}


def failed(cause: Cause, message: str = "", code: int = 1) -> Failure:
    return Failure(cause, message, code, "here")


def test_of_several_failures_the_first_cause_is_told(tmp_path: Path) -> None:
    def told(*failures: Failure | None, asked: int = 0) -> None:
        config = small_config("strategy=ddp", "trainer.devices=2")
        found = {rank: failure for rank, failure in enumerate(failures) if failure is not None}
        _raise_failure(config, RunFolder(tmp_path), found, asked)

    lost = failed(Cause.lost, "RuntimeError: Connection closed by peer")
    log = log_of(RunFolder(tmp_path), 1)
    log.parent.mkdir(parents=True)
    log.write_text("".join(f"line {i}\n" for i in range(30)))
    with pytest.raises(
        RankError, match=r"rank 1 of 2 on here was killed by SIGKILL, as the system"
    ) as raised:
        told(lost, failed(Cause.killed, "SIGKILL"))
    assert "line 29" in str(raised.value)
    assert "line 14" not in str(raised.value)
    with pytest.raises(RankError, match=r"rank 1 of 2 on here did not answer the others for 30 minutes"):
        told(lost, failed(Cause.silent))
    with pytest.raises(RankError, match=r"rank 1 of 2 on here failed: ValueError: no; the other ranks"):
        told(lost, failed(Cause.crash, "ValueError: no"))
    with pytest.raises(RankError, match=r"^rank 0 of 2 on here: cannot write$"):
        told(failed(Cause.mistake, "cannot write"), lost)
    wrong = failed(Cause.mistake, "1 mistake", 2)
    with pytest.raises(RankError, match=r"^1 mistake$") as raised:
        told(wrong, wrong)
    assert raised.value.exit_code == 2
    stop = failed(Cause.stopped, "step 3 is saved", 143)
    with pytest.raises(Stopped, match=r"SIGTERM; step 3 is saved"):
        told(stop, stop)
    # Before training, ranks are not asked but killed.
    interrupted = failed(Cause.killed, "SIGINT")
    with pytest.raises(Stopped, match=r"SIGINT; what was done so far"):
        told(interrupted, interrupted, asked=signal.SIGINT)
    told(None, None)


def test_a_rank_reports_to_its_parent_or_its_exit_status_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(store.port))
    crash = failed(Cause.crash, "ValueError: no")
    report(crash, 1)
    assert failure_in(store, 1, 1) == crash
    assert (failure_in(store, 0, -9).cause, failure_in(store, 0, -9).message) == (Cause.killed, "SIGKILL")
    assert (failure_in(store, 0, 3).cause, failure_in(store, 0, 3).message) == (Cause.crash, "exit status 3")


def test_failures_are_told_apart() -> None:
    assert failure_of(Stopped(signal.SIGTERM, "saved"), "h") == Failure(Cause.stopped, "saved", 143, "h")
    assert failure_of(RunError("no"), "h").cause is Cause.mistake
    assert failure_of(ConfigError(["no"]), "h").exit_code == 2
    assert failure_of(OSError(28, "No space left on device", "file"), "h").message == (
        "No space left on device (file)"
    )
    assert failure_of(ValueError("x"), "h").cause is Cause.crash


SLURM = {
    "SLURM_JOB_ID": "71234", "SLURM_STEP_ID": "0", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_NODES": "2",
    "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_NODEID": "1", "SLURM_NODELIST": "gpu[07-08]",
}  # fmt: skip


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the variables of a launcher, now and afterwards."""
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR",
                 "MASTER_PORT", "TORCHELASTIC_RUN_ID", *SLURM):  # fmt: skip
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("no_launcher")
def test_launchers_are_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    assert world_of_launcher() is None
    for name, value in SLURM.items():
        monkeypatch.setenv(name, value)
    assert world_of_launcher() == World(rank=5, local_rank=1, ranks=8, local_ranks=4)
    assert (os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]) == ("gpu07", str(15000 + 1234))
    config = placed(small_config("strategy=ddp"), World(5, 1, 8, 4))
    assert (config.trainer.devices, config.trainer.nodes) == (4, 2)
    with pytest.raises(ConfigError, match=r"strategy=single: 8 ranks were started; needs strategy=ddp"):
        placed(small_config(), World(5, 1, 8, 4))
    with pytest.raises(ConfigError, match=r"trainer\.devices=2: 4 ranks were started on each machine"):
        placed(small_config("strategy=ddp", "trainer.devices=2"), World(5, 1, 8, 4))


@pytest.mark.usefixtures("no_launcher")
@pytest.mark.parametrize("change", [("SLURM_NTASKS", "1"), ("SLURM_STEP_ID", None), ("SLURM_PROCID", None)])
def test_a_batch_script_is_no_rank(change: tuple[str, str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (SLURM | {change[0]: change[1]}).items():
        if value is not None:
            monkeypatch.setenv(name, value)
    assert world_of_launcher() is None


def test_more_machines_need_a_launcher() -> None:
    with pytest.raises(ConfigError, match=r"trainer\.nodes=2: is set by torchrun or srun"):
        small_config("strategy=ddp", "trainer.nodes=2")


# Whole runs.

TWO = (
    "experiment=quick", "data.path=corpus", "trainer.precision=fp32", "benchmark.tasks=[bits_per_byte]",
    "benchmark.limit=4", "benchmark.precision=fp32", "loss.retention_weight=0", "trainer.batch_size=4",
    "run.dir=out", "strategy=ddp",
)  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    catalogues(tmp_path / "corpus")
    return tmp_path


def started(*overrides: str, cwd: Path, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    command = [sys.executable, *launcher, "-m", "xalign.run", *TWO, *overrides]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def ended(process: subprocess.Popen[str], family: set[psutil.Process] = frozenset()) -> tuple[int, str]:  # type: ignore[assignment]
    """Exit code and standard error; nothing that it started is left."""
    _, error = process.communicate(timeout=240)
    until = time.monotonic() + 10
    while alive := [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]:
        assert time.monotonic() < until, alive
        time.sleep(0.1)
    return process.returncode, error


def training(process: subprocess.Popen[str], run: Path, step: int = 2) -> dict[str, psutil.Process]:
    """The processes of the ranks, by rank, once so many steps have been made."""
    metrics = run / "metrics.jsonl"
    until = time.monotonic() + 120
    while not metrics.exists() or metrics.read_text().count("\n") < step:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    return {child.environ()["RANK"]: child for child in children if "RANK" in child.environ()}


@pytest.fixture
def long_run(place: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, psutil.Process]]]:
    """Two ranks in the middle of training."""
    process = started(
        "trainer.devices=2", "trainer.steps=2000", "trainer.checkpoint_every=500",
        "strategy.timeout_minutes=0.1", cwd=place,
    )  # fmt: skip
    try:
        yield process, training(process, place / "out")
    finally:
        process.kill()
        process.communicate()


FAULTS: dict[str, tuple[Callable[[psutil.Process], None], str]] = {
    "killed": (lambda rank: rank.kill(), "rank 1 of 2 on .* was killed by SIGKILL, as the system does"),
    "hung": (lambda rank: rank.suspend(), "rank 1 of 2 on .* did not answer the others for 0.1 minutes"),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_failed_rank_takes_the_others_down(
    fault: str, long_run: tuple[subprocess.Popen[str], dict[str, psutil.Process]]
) -> None:
    process, ranks = long_run
    harm, message = FAULTS[fault]
    started_at = time.monotonic()
    harm(ranks["1"])
    code, error = ended(process, {*ranks.values()})
    assert code == 1
    assert error.count("xalign: ") == 1
    assert "Traceback" not in error
    assert pytest.approx(0, abs=30) == time.monotonic() - started_at
    with pytest.raises(RankError, match=message):
        raise RankError(error)


@pytest.mark.slow
@pytest.mark.parametrize("name", CODES)
def test_a_signal_to_one_rank_stops_all_at_the_same_step(
    name: str, place: Path, long_run: tuple[subprocess.Popen[str], dict[str, psutil.Process]]
) -> None:
    process, ranks = long_run
    ranks["1"].send_signal(signal.Signals[name])
    code, error = ended(process, {*ranks.values()})
    assert code == CODES[name]
    assert f"stopped by {name}; step" in error
    found = newest(place / "out/checkpoints")
    assert found is not None
    lines = [json.loads(line) for line in (place / "out/metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, found.step + 1))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CODES, "SIGKILL"])
def test_no_rank_outlives_the_parent(
    name: str, place: Path, long_run: tuple[subprocess.Popen[str], dict[str, psutil.Process]]
) -> None:
    process, ranks = long_run
    process.send_signal(signal.Signals[name])
    code, error = ended(process, {*ranks.values()})
    assert code == CODES.get(name, -signal.SIGKILL)
    if name != "SIGKILL":
        assert f"stopped by {name}; step" in error
        assert newest(place / "out/checkpoints") is not None


def lines(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_torchrun_and_srun_train_the_same_as_we_do(place: Path, tmp_path: Path) -> None:
    code, error = ended(started("trainer.devices=2", "run.dir=own", cwd=place))
    assert code == 0, error
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    code, error = ended(started("run.dir=torchrun", cwd=place, launcher=torchrun))
    assert code == 0, error
    # What srun gives its tasks.
    common = SLURM | {"SLURM_NTASKS": "2", "SLURM_STEP_NUM_NODES": "1", "SLURM_NODEID": "0",
                      "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": str(free_port())}  # fmt: skip
    tasks = []
    for rank in ("1", "0"):
        own = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank}
        command = [sys.executable, "-m", "xalign.run", *TWO, "run.dir=srun"]
        tasks.append(
            subprocess.Popen(
                command, cwd=place, env=os.environ | common | own, stderr=subprocess.PIPE, text=True
            )
        )
    for task in tasks:
        _, error = task.communicate(timeout=240)
        assert task.returncode == 0, error
    assert lines(place / "own") == lines(place / "torchrun") == lines(place / "srun")
    models = [(place / way / "model/model.safetensors").read_bytes() for way in ("own", "torchrun", "srun")]
    assert models[0] == models[1] == models[2]
    assert (place / "srun/DONE").exists()


def free_port() -> int:
    """A port that is free at this moment."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
