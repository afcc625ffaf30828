"""Being asked to stop: Ctrl-C, SIGTERM, and SIGUSR1, by which Slurm can say that a job's time is nearly over.

Training finishes its step, saves and stops (`Requests`). Anywhere else work stops where it is (`stoppable`):
measurements are kept batch by batch.
"""

import logging
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from xalign.base.errors import Stopped

log = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class Requests:
    """Notes signals instead of acting on them, from `start` to `end`; main thread only, elsewhere nothing."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.asked = 0
        """Number of the signal that came last; 0: none."""
        self._former: dict[int, Any] = {}

    def start(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, self._note) for number in SIGNALS}

    def end(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked == number == signal.SIGINT:
            raise Stopped(number)  # a second Ctrl-C does not wait
        self.asked = number
        if self.quiet:
            return
        hint = " (Ctrl-C again to stop at once)" if number == signal.SIGINT else ""
        log.warning("%s: finishing this step and saving it%s", signal.Signals(number).name, hint)


@contextmanager
def stoppable() -> Iterator[None]:
    """Inside, every one of the signals raises `Stopped` in the main thread."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


@contextmanager
def requeued() -> Iterator[None]:
    """Where SIGUSR1 ends what is inside, and it is a job of Slurm's, the job is queued to be run again."""
    try:
        yield
    except Stopped as stopped:
        if stopped.number == signal.SIGUSR1:
            _requeue()
        raise


def _requeue() -> None:
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID")
    if job is None:
        return
    command = ["scontrol", "requeue", job]
    if shutil.which("scontrol") is None:
        log.warning("cannot requeue the job: no scontrol here; run %s", " ".join(command))
        return
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        log.warning("%s failed: %s", " ".join(command), done.stderr.strip())
    else:
        log.info("job %s is queued again", job)
