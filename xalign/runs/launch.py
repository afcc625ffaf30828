"""Training on several devices: one process a rank, started, watched and ended together.

The parent composes and writes the config, measures before and after, and waits while the ranks train. When
one of them fails the others are stopped within seconds, and one message says which, where and why. No rank
outlives the parent.

Not `torch.distributed.elastic.multiprocessing` (2.13), on which torchrun stands: it kills the other ranks as
soon as one ends badly, before they have saved their step, said why they failed, or shown where they hang;
takes over the parent's signals; empties the logs of the run that is resumed; and its error files need room on
the disk, for want of which a run may have failed. Under torchrun and srun these stay in charge (`workers`).
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from xalign.base.errors import RunError, Stopped
from xalign.base.stopping import Requests
from xalign.config.schema import Config
from xalign.distributed.world import THREADS, threads_asked
from xalign.runs.failures import PARENT, STACK_SIGNAL, Cause, Failure, failure_in, log_of
from xalign.workspace.folder import RunFolder

GRACE = 8.0
"""Seconds from the first failure until all ranks that are still there are killed."""
TAIL = 15
"""Lines of a log that a message shows."""


class RankError(RunError):
    """A rank failed."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        self.exit_code = exit_code
        super().__init__(message)


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
        "TORCHELASTIC_RUN_ID": folder.path.name,  # by which Lightning knows that processes are started for it
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
                        [sys.executable, "-m", "xalign.runs.rank", str(folder.path)],
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
    failures = {rank: failure_in(store, rank, code) for rank, code in enumerate(codes) if code}
    # These were killed by us.
    failures |= {rank: Failure(Cause.silent, "", 1, socket.gethostname()) for rank in silent}
    _raise_failure(config, folder, failures, requests.asked)


def _wait(ranks: list[subprocess.Popen[bytes]], requests: Requests) -> set[int]:
    """Until all ranks have ended, or some time after the first failure; those that had not, by then."""
    passed_on, failed_at = 0, None
    while True:
        running = {rank for rank, process in enumerate(ranks) if process.poll() is None}
        if not running:
            return set()
        if requests.asked != passed_on:
            passed_on = requests.asked
            for rank in running:
                ranks[rank].send_signal(passed_on)
        if failed_at is None and any(process.returncode for process in ranks):
            failed_at = time.monotonic()
        if failed_at is not None and time.monotonic() - failed_at > GRACE:
            for rank in running:
                ranks[rank].send_signal(STACK_SIGNAL)
            time.sleep(0.5)
            return running
        time.sleep(0.05)


def _raise_failure(config: Config, folder: RunFolder, failures: dict[int, Failure], asked: int) -> None:
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


def _tail(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL:] if log.exists() else []
    return "\n".join(f"  | {line}" for line in lines) or "  | (nothing)"
