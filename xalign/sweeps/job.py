"""One job of a sweep, seen from the launcher: a process of its own, started from the written config.

Hydra's launchers (basic, joblib, submitit, ray) decide where jobs run and how many at once. What they run is
this: it writes the job's config, starts `xalign.sweeps.process` on it and waits. So no job sees another's
state, a crash ends one job only, and no process composes the config a second time.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from filelock import FileLock
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from xalign.base.errors import ConfigError
from xalign.base.files import write_atomically
from xalign.cli.validation import resolve
from xalign.config.schema import Config
from xalign.distributed.world import JOBS_AT_ONCE
from xalign.options.plain import plain
from xalign.sweeps.folder import Job, Status, Sweep, SweepFolder
from xalign.sweeps.gpus import own_gpus
from xalign.trials.figures import kept_values, wanted
from xalign.workspace.content import default_folder
from xalign.workspace.folder import RunFolder

SIGNALS = {
    signal.SIGINT: signal.SIGINT,
    signal.SIGTERM: signal.SIGTERM,
    signal.SIGUSR1: signal.SIGUSR1,
    # Slurm's warning before a time limit, for submitit, which queues the job again once the run is saved.
    signal.SIGUSR2: signal.SIGTERM,
}
"""What a scheduler or a user sends to stop a job, and the signal that the run is sent then."""


def run_job(composed: DictConfig) -> float | tuple[float, ...] | None:
    """Carry out the job that Hydra's launcher is at; a failure is recorded, and the others go on.

    Returns what Hydra's sweepers expect: the figure, or figures, to judge the point by; NaN where it failed.
    """
    hydra = HydraConfig.get()
    folder = SweepFolder(Path(hydra.sweep.dir))
    sweep = folder.read()
    number = hydra.job.num if composed.sweep.trial is None else composed.sweep.trial
    job = Job(number=number, overrides=list(hydra.overrides.task), status=Status.running)
    try:
        config = resolve(composed, Config)
    except ConfigError as error:
        job = replace(job, status=Status.failed, message=str(error))
    else:
        place = default_folder(config)
        if config.run.dir:
            place = Path(config.run.dir) / place.name
        config = replace(config, run=replace(config.run, dir=str(place)))
        job = replace(job, folder=str(place))
        folder.jobs.mkdir(parents=True, exist_ok=True)
        # Two points may be the same run: the second waits, and finds it finished.
        with FileLock(folder.jobs / f".{place.name}.lock"):
            job = _carried_out(job, config, sweep, folder)
    folder.record(job)
    _report(sweep, job, job.status if job.message is None else f"{job.status}: {job.message}")
    values = job.values or [float("nan")] * len(sweep.figures)
    return tuple(values) if len(values) > 1 else values[0] if values else None


def point_of(sweep: Sweep, overrides: Sequence[str]) -> dict[str, str]:
    """Key -> value of those overrides that the sweep varies."""
    pairs = (override.partition("=") for override in overrides)
    return {key: value for key, _, value in pairs if key in sweep.axes}


def _carried_out(job: Job, config: Config, sweep: Sweep, folder: SweepFolder) -> Job:
    run = RunFolder(Path(job.folder or ""))
    if run.finished and not config.run.rerun:
        return _complete(job, config, run)
    folder.record(job)
    _report(sweep, job, f"started in {run.path}")
    content = {"overrides": job.overrides, "config": plain(config)}
    description, words = folder.file(job.number, "yaml"), folder.file(job.number, "error")
    write_atomically(description, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    words.unlink(missing_ok=True)
    started = time.perf_counter()
    with own_gpus(folder.jobs, sweep.at_once, config.trainer.devices) as gpus:
        status = _process(
            [sys.executable, "-m", "xalign.sweeps.process", str(description), str(words)],
            {**os.environ, **gpus, JOBS_AT_ONCE: str(sweep.at_once)},
            # Side by side, bars and tables of several jobs would run into each other.
            folder.file(job.number, "log") if sweep.at_once > 1 else None,
        )
    job = replace(job, seconds=round(time.perf_counter() - started, 1))
    message = words.read_text(encoding="utf-8").strip() if words.exists() else None
    if status.forwarded is not None:
        folder.record(replace(job, status=Status.stopped, message="interrupted; the same command goes on"))
        if status.forwarded == signal.SIGINT:
            raise KeyboardInterrupt
        if status.forwarded == signal.SIGUSR2:
            signal.raise_signal(signal.SIGUSR2)  # submitit's turn; it does not come back
        sys.exit(status.code if status.code > 0 else 128 + status.forwarded)
    if status.code == 0 and run.finished:
        return _complete(job, config, run)
    if status.code == 0:
        return replace(job, status=Status.pruned, message=message)
    return replace(job, status=Status.failed, message=message or _last_words(status.code, run.log))


def _complete(job: Job, config: Config, run: RunFolder) -> Job:
    values = kept_values(config, run.metrics)
    if wanted(config) and values is None:
        why = f"{', '.join(wanted(config))}: not measured in this run, or no number; see {run.metrics}"
        return replace(job, status=Status.failed, message=why)
    return replace(job, status=Status.complete, values=values)


@dataclass(frozen=True)
class _Ended:
    """How a process ended: its exit code, and the signal that was handed on to it, if one was."""

    code: int
    forwarded: int | None


def _process(command: list[str], environment: dict[str, str], log: Path | None) -> _Ended:
    """Run a command to its end, handing on signals. Where the launcher dies, so does the command."""
    with _output(log) as output:
        # A session of its own: Ctrl-C reaches it once, through us.
        child = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        # A worker's parent is the sweep; that of the sweep itself, a shell, may go.
        sweep = os.getppid() if multiprocessing.parent_process() is not None else None
        with _handed_on(child) as received:
            while True:
                try:
                    code = child.wait(timeout=1)
                    return _Ended(code, received[0] if received else None)
                except subprocess.TimeoutExpired:
                    if sweep not in (None, os.getppid()) and not received:
                        received.append(signal.SIGTERM)
                        child.terminate()


@contextmanager
def _output(log: Path | None) -> Iterator[int | None]:
    if log is None:
        yield None
        return
    with log.open("ab") as file:
        yield file.fileno()


@contextmanager
def _handed_on(child: subprocess.Popen[bytes]) -> Iterator[list[int]]:
    """Signals that reach this process go to the child; the list holds those that did."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # Python allows handlers in the main thread only
        return

    def hand_on(number: int, frame: object) -> None:
        received.append(number)
        child.send_signal(SIGNALS[signal.Signals(number)])

    former = {number: signal.signal(number, hand_on) for number in SIGNALS}
    try:
        yield received
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def _last_words(code: int, log: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"ended by {name}{hint}; see {log}"
    return f"ended with status {code}; see {log}"


def _report(sweep: Sweep, job: Job, what: str) -> None:
    point = " ".join(f"{key}={value}" for key, value in point_of(sweep, job.overrides).items())
    print(f"[{job.number + 1}/{sweep.jobs}] {point}: {what}", file=sys.stderr, flush=True)
