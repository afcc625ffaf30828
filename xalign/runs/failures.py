"""How a rank ended, if not well: as the rank reports it, or read off its exit status."""

import json
import os
import signal
import socket
import traceback
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

import torch.distributed as dist
from torch.distributed import Store, TCPStore  # type: ignore[attr-defined]

from xalign.base.errors import Stopped, XalignError
from xalign.base.files import checked
from xalign.workspace.folder import RunFolder

PARENT = "XALIGN_PARENT"
"""Environment variable with the process id of who started this rank."""
STACK_SIGNAL = signal.SIGQUIT
"""Makes a rank write into its log where it is, whatever it is doing."""


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


def failure_of(error: BaseException, host: str) -> Failure:
    """What to report of a rank that this exception ended."""
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
    """Whether a collective operation failed. gloo has no class for it: its place shows."""
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
    with suppress(dist.DistError):  # the parent is dead: nobody to report to
        TCPStore(address, port, is_master=False).set(_key(rank), json.dumps(asdict(failure)))


def failure_in(store: Store, rank: int, code: int) -> Failure:
    """How a rank with this exit status ended: as it reported or, if it could not, as the system did."""
    if store.check([_key(rank)]):
        return checked(Failure, json.loads(store.get(_key(rank))), f"rank {rank}")
    host = socket.gethostname()
    if code < 0:
        return Failure(Cause.killed, signal.Signals(-code).name, 1, host)
    return Failure(Cause.crash, f"exit status {code}", 1, host)


def _key(rank: int) -> str:
    return f"xalign/failure/{rank}"
