"""Runs that are killed with SIGKILL at chosen moments, resumed each time, and compared with one left alone.

A moment is a time after the start, or the n-th time that a process touches a file of its run: opens, renames
or removes it (`sys.addaudithook` tells). So writing is cut at every point that could matter, and not only
where the clock happens to fall. Every attempt is forked from a process that has all imports done.
"""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

FILES = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir"}
"""Audit events that count."""

STAGES = {
    "metrics": ("metrics.jsonl", 4),
    "checkpoint": ("/checkpoints", 14),
    "evaluation": ("evaluation", 40),
    "export": ("/model", 12),
    "report": ("report", 2),
    "anything": ("", 150),
}
"""Stage -> what its files' paths contain, and at how many touches of them, at the most, to kill."""


@dataclass(frozen=True)
class Moment:
    """When to kill: at the `count`-th touch of a file whose path contains `where`, or after `seconds`."""

    stage: str
    where: str = ""
    count: int = 0
    seconds: float = 0.0
    rank: int | None = None
    """Kill this rank instead of the first process, which only waits for the ranks."""
    number: signal.Signals = signal.SIGKILL
    """Which signal (by touches of the first process only)."""

    def __str__(self) -> str:
        who = "" if self.rank is None else f" (rank {self.rank})"
        how = f"touch {self.count}" if self.count else f"{self.seconds:.1f} s"
        return f"{self.stage}, {how}{who}"


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended: killed, or by itself with an exit code."""

    killed: bool
    exit_code: int | None
    step: int
    """Last step in `metrics.jsonl`."""
    found: str
    """Names of half-written things that were left."""


def random_moments(random: Random, ranks: int, seconds: float) -> Iterable[Moment]:
    """Moments without end: one in three by the clock, at most `seconds` after the start."""
    while True:
        if random.random() < 1 / 3:
            rank = random.choice([None, *range(ranks)]) if ranks > 1 else None
            yield Moment("clock", seconds=random.uniform(0, seconds), rank=rank)
        else:
            stage, (where, most) = random.choice([*STAGES.items()])
            # Of several ranks, the first one writes.
            rank = 0 if ranks > 1 and stage in ("metrics", "checkpoint") else None
            yield Moment(stage, where, random.randint(1, most), rank=rank)


def attempt(overrides: list[str], folder: Path, moment: Moment | None) -> Outcome:
    """Start or go on with the run in `folder / "run"`, its cache beside it, until it ends or is killed.

    Raises:
        TimeoutError: a process outlived the first one.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["xalign.runs.experiment", "xalign.cli.command_line"])
    process = context.Process(target=_run, args=(overrides, folder, moment))
    process.start()
    assert process.pid is not None
    if moment is not None and not moment.count:
        process.join(moment.seconds)
        if moment.rank is None:
            process.kill()
        else:
            _kill_rank(process.pid, moment.rank)
    family = _family(process.pid)
    while process.is_alive():
        family |= _family(process.pid)
        process.join(0.2)
    _require_gone(family)
    run = folder / "run"
    left = [*run.glob("checkpoints/*.part"), *run.glob("checkpoints/*.old"), *run.glob("*.part")]
    left += [*run.rglob("*.tmp")]
    return Outcome(
        process.exitcode == -signal.SIGKILL,
        process.exitcode,
        _last_step(run / "metrics.jsonl"),
        ", ".join(path.relative_to(run).as_posix() for path in left),
    )


def differences(run: Path, other: Path) -> list[str]:
    """What differs between two finished runs: parameters and metrics to the bit, evaluations, duplicates."""
    from xalign.training.callbacks.metrics import MEASURED
    from xalign.training.checkpoints import load_state, newest

    problems = []
    ways = [run, other]
    texts = [(way / "metrics.jsonl").read_text().splitlines() for way in ways]
    lines = [[json.loads(line) for line in text] for text in texts]
    bare = [
        [json.dumps({k: v for k, v in line.items() if k not in MEASURED}) for line in own] for own in lines
    ]
    if bare[0] != bare[1]:
        problems.append("metrics.jsonl differs")
    steps = [line["step"] for line in lines[0]]
    if steps != sorted(set(steps)):
        problems.append("metrics.jsonl has duplicate lines")
    found = [newest(way / "checkpoints") for way in ways]
    assert found[0] is not None
    assert found[1] is not None
    states = [load_state(checkpoint)["state_dict"] for checkpoint in found if checkpoint is not None]
    if states[0].keys() != states[1].keys() or any(
        states[0][name].numpy().tobytes() != states[1][name].numpy().tobytes() for name in states[0]
    ):
        problems.append("parameters differ")
    for name in ("model/model.safetensors", "evaluation/before.json", "evaluation/comparison.json"):
        if (run / name).read_bytes() != (other / name).read_bytes():
            problems.append(f"{name} differs")
    if not (run / "DONE").exists():
        problems.append("not finished")
    return problems


def campaign(
    overrides: list[str],
    folder: Path,
    reference: Path,
    moments: Iterable[Moment],
    kills: int,
    tell: Callable[[Moment, bool, Outcome, list[str] | None], None],
) -> int:
    """Kill runs until so many kills have struck; a run that gets through is compared, and a new one begun.

    `tell` hears of every attempt: the moment, whether the kill struck, how the run ended (the last one is
    finished first), what differed where it got through. Returns how many runs got through.
    """
    struck = finished = 0
    for moment in moments:
        outcome = attempt(overrides, folder, moment)
        # Where a rank was killed, the first process ends by itself, with a message.
        hit = outcome.killed or (moment.rank is not None and outcome.exit_code != 0)
        struck += hit
        problems = None
        if outcome.exit_code == 0 or struck >= kills:
            if outcome.exit_code != 0:
                outcome = attempt(overrides, folder, None)
            problems = differences(folder / "run", reference)
            finished += 1
        tell(moment, hit, outcome, problems)
        if problems is not None:
            shutil.rmtree(folder)
        if struck >= kills:
            break
    return finished


def _run(overrides: list[str], folder: Path, moment: Moment | None) -> None:
    """The attempt's process."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["XALIGN_CACHE"] = str(folder / "cache")
    output = os.open(folder / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    from xalign.base.errors import user_facing
    from xalign.cli.command_line import compose_config
    from xalign.cli.validation import resolve
    from xalign.config.schema import Config
    from xalign.runs.experiment import run

    config = resolve(compose_config("config", [f"run.dir={folder / 'run'}", *overrides]), Config)
    if moment is not None and moment.count and moment.rank is None:
        kill_at(moment.where, moment.count, str(folder), moment.number)
    elif moment is not None and moment.count:
        here = Path(__file__).parent
        inherited = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        os.environ |= {
            "PYTHONPATH": os.pathsep.join([str(here / "in_ranks"), str(here), *filter(None, inherited)]),
            "KILL_RANK": str(moment.rank),
            "KILL_WHERE": moment.where,
            "KILL_COUNT": str(moment.count),
            "KILL_FOLDER": str(folder),
        }
    user_facing(run)(config)


def kill_at(where: str, count: int, folder: str, number: int = signal.SIGKILL) -> None:
    """Kill this process at the `count`-th touch of a file below `folder` whose path contains `where`."""
    left = count

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        if event in FILES and arguments and isinstance(arguments[0], str | os.PathLike):
            path = os.fspath(arguments[0])
            if isinstance(path, str) and path.startswith(folder) and where in path:
                left -= 1
                if left == 0:
                    os.kill(os.getpid(), number)

    sys.addaudithook(hook)


def _kill_rank(pid: int, rank: int) -> None:
    for process in _family(pid):
        with suppress(psutil.Error):
            if process.environ().get("RANK") == str(rank):
                process.kill()


def _family(pid: int) -> set[psutil.Process]:
    try:
        return set(psutil.Process(pid).children(recursive=True))
    except psutil.Error:
        return set()


def is_alive(process: psutil.Process) -> bool:
    """Whether it still does something: a dead one may wait for ever for a parent that asks for its status."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _require_gone(processes: set[psutil.Process]) -> None:
    until = time.monotonic() + 10
    while (alive := [process for process in processes if is_alive(process)]) and time.monotonic() < until:
        time.sleep(0.1)
    if alive:
        raise TimeoutError(f"outlived the run: {alive}")


def _last_step(metrics: Path) -> int:
    last = 0
    for line in metrics.read_text().splitlines() if metrics.exists() else []:
        try:
            last = int(json.loads(line)["step"])
        except ValueError:
            break  # the torn last line
    return last
