"""Training on several devices: one process a rank, started, watched and ended together.

The parent composes and writes the config, measures before and after, and waits while the ranks train. When
one of them fails the others are stopped within seconds, and one message says which, where and why. No rank
outlives the parent.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]

from xalign.config import Config
from xalign.errors import RunError, Stopped, XalignError
from xalign.files import checked
from xalign.stopping import Requests
from xalign.training.rank import PARENT, STACK_SIGNAL
from xalign.workspace.folder import RunFolder
from xalign.world import THREADS, threads_asked

GRACE = 8.0
"""Seconds from the first failure until all ranks that are still there are killed."""
TAIL = 15
"""Lines of a log that a message shows."""


class RankError(RunError):
    """A rank failed."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        self.exit_code = exit_code
        super().__init__(message)


class Cause(StrEnum):
    """Why a rank ended; of several ranks' causes, the first in this order is what happened."""

    stopped = "stopped"
    """By a signal to save and stop."""
    killed = "killed"
    """By the system or somebody else, without a word."""
    mistake = "mistake"
    """A message for the user."""
    crash = "crash"
    """An exception that nobody foresaw."""
    silent = "silent"
    """Not ended: still there when the others had failed for want of it."""
    lost = "lost"
    """Other ranks did not answer."""


@dataclass(frozen=True)
class Failure:
    """How a rank ended, if not well."""

    cause: Cause
    message: str
    exit_code: int
    host: str

    @property
    def is_crash(self) -> bool:
        return self.cause in (Cause.crash, Cause.lost)


def launch(config: Config, folder: RunFolder) -> None:
    """Start `trainer.devices` ranks on this machine and wait for them.

    Signals to stop are passed on; the ranks save their step.

    Raises:
        RankError: a rank failed, was killed, or did not answer for `strategy.timeout_minutes`.
        Stopped: a signal asked for it.
    """
    count = config.trainer.devices
    log_of(folder, 0).parent.mkdir(parents=True, exist_ok=True)
    # The ranks meet here, and report here; a port that the system chose cannot be anybody else's.
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    shared = {
        **os.environ,
        PARENT: str(os.getpid()),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "GROUP_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(store.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",  # do not open another
        "TORCHELASTIC_RUN_ID": folder.path.name,  # tells Lightning that processes are started for it
        # Threads of libraries; torch's own are set by each rank.
        "OMP_NUM_THREADS": str(config.trainer.threads or 1),
        THREADS: str(threads_asked() or ""),
    }
    ranks: list[subprocess.Popen[bytes]] = []
    requests = Requests(quiet=True)
    requests.start()
    try:
        for rank in range(count):
            own = {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            with log_of(folder, rank).open("ab") as log:
                ranks.append(
                    subprocess.Popen(
                        [sys.executable, "-m", "xalign.training.rank", str(folder.path)],
                        env=shared | own,
                        # The first one's bar and messages are for the terminal.
                        stdout=None if rank == 0 else log,
                        stderr=None if rank == 0 else log,
                        start_new_session=True,  # Ctrl-C comes to the parent alone, which passes it on
                    )
                )
        silent = _wait(ranks, requests)
    finally:
        requests.end()
        for process in ranks:
            process.kill()
            process.wait()
    codes = [process.returncode for process in ranks]
    failures = {rank: _failure(store, rank, code) for rank, code in enumerate(codes) if code}
    # These were killed by us.
    failures |= {rank: Failure(Cause.silent, "", 1, socket.gethostname()) for rank in silent}
    _tell(config, folder, failures, requests.asked)


def _wait(ranks: list[subprocess.Popen[bytes]], requests: Requests) -> set[int]:
    """Until all ranks have ended, or some time after the first failure; those that had not, by then."""
    told, failed_at = 0, None
    while True:
        running = {rank for rank, process in enumerate(ranks) if process.poll() is None}
        if not running:
            return set()
        if requests.asked != told:
            told = requests.asked
            for rank in running:
                ranks[rank].send_signal(told)
        if failed_at is None and any(process.returncode for process in ranks):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > GRACE:
            for rank in running:
                ranks[rank].send_signal(STACK_SIGNAL)
            time.sleep(0.5)
            return running
        time.sleep(0.05)


def _tell(config: Config, folder: RunFolder, failures: dict[int, Failure], asked: int) -> None:
    """Raise what became of the ranks that did not end well; `asked` is the signal that was passed on."""
    if not failures:
        return
    count = config.trainer.devices
    order = list(Cause)
    rank, failure = min(failures.items(), key=lambda item: (order.index(item[1].cause), item[0]))
    if asked or failure.cause is Cause.stopped:
        number = asked or failure.exit_code - 128
        raise Stopped(number, failure.message) if failure.cause is Cause.stopped else Stopped(number)
    name = f"rank {rank} of {count} on {failure.host}"
    log = log_of(folder, rank)
    match failure.cause:
        case Cause.mistake:
            everywhere = len(failures) == count and len({f.message for f in failures.values()}) == 1
            message = failure.message if everywhere else f"{name}: {failure.message}"
            raise RankError(message, failure.exit_code)
        case Cause.killed:
            what = f"was killed by {failure.message}"
            if failure.message == signal.SIGKILL.name:
                what += ", as the system does when memory runs out"
        case Cause.silent:
            minutes = config.strategy.timeout_minutes
            what = f"did not answer the others for {minutes:g} minutes (strategy.timeout_minutes)"
        case _:
            what = f"failed: {failure.message}"
    raise RankError(
        f"{name} {what}; the other ranks were stopped. The same command goes on from the last checkpoint. "
        f"The end of {log}:\n{_tail(log)}"
    )


@contextmanager
def process_group(config: Config) -> Iterator[None]:
    """Connect this rank with the others that the environment tells of; Lightning takes the group as it is.

    A rank that does not answer for `strategy.timeout_minutes` ends the training of all.
    """
    timeout = timedelta(minutes=config.strategy.timeout_minutes)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("cpu:gloo,cuda:nccl", timeout=timeout)
    else:
        dist.init_process_group("gloo", timeout=timeout)
    yield
    # Only where all went well: the others may be waiting, and only this process's end frees them.
    dist.destroy_process_group()


def failure_of(error: BaseException, host: str) -> Failure:
    """How a rank that this exception ended is to be told of."""
    match error:
        case Stopped():
            return Failure(Cause.stopped, error.saved, error.exit_code, host)
        case XalignError():
            return Failure(Cause.mistake, str(error), error.exit_code, host)
        case OSError():
            where = f" ({error.filename})" if error.filename else ""
            return Failure(Cause.mistake, f"{error.strerror or error}{where}", 1, host)
        case _:
            text = traceback.format_exception_only(error)[-1].strip().splitlines()[0]
            return Failure(Cause.lost if _is_about_others(error) else Cause.crash, text, 1, host)


def _is_about_others(error: BaseException) -> bool:
    """Whether a collective operation failed. gloo has no class for it: its place tells."""
    if isinstance(error, dist.DistError):
        return True
    frames = traceback.extract_tb(error.__traceback__)
    return isinstance(error, RuntimeError) and Path(frames[-1].filename).is_relative_to(
        Path(dist.__file__).parent
    )


def log_of(folder: RunFolder, rank: int) -> Path:
    """The log of a rank: all that it writes; of the first, what it does not show on the terminal too."""
    return folder.path / "logs" / f"rank-{rank}.log"


def report(failure: Failure, rank: int) -> None:
    """Let the parent know; by network, as the disk may be full."""
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    with suppress(dist.DistError):  # the parent is dead: nobody to tell
        TCPStore(address, port, is_master=False).set(_key(rank), json.dumps(asdict(failure)))


def _failure(store: Store, rank: int, code: int) -> Failure:
    """How a rank with this exit status ended: as it reported or, if it could not, as the system did."""
    if store.check([_key(rank)]):
        return checked(Failure, json.loads(store.get(_key(rank))), f"rank {rank}")
    host = socket.gethostname()
    if code < 0:
        return Failure(Cause.killed, signal.Signals(-code).name, 1, host)
    return Failure(Cause.crash, f"exit status {code}", 1, host)


def _key(rank: int) -> str:
    return f"xalign/failure/{rank}"


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:] if log.exists() else []
    return "\n".join(f"  | {line}" for line in lines) or "  | (nothing)"
