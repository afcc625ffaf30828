"""Errors that are the user's to mend: one message, no traceback, a non-zero exit code.

Every message names what was wrong (key, file and line, value), what is allowed, and the nearest
valid name where there is one. Anything else that escapes is a bug of ours and keeps its traceback.
"""

import signal
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class XalignError(Exception):
    """Base of all errors that are shown as one message. `exit_code` is the process's exit status."""

    exit_code = 1


class ConfigError(XalignError):
    """One or several mistakes in the configuration, reported together."""

    exit_code = 2

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        head = "1 mistake" if count == 1 else f"{count} mistakes"
        super().__init__(f"{head} in the configuration:\n" + "\n".join(f"  - {p}" for p in self.problems))


class DataError(XalignError):
    """A corpus, instruction set or benchmark that cannot be read or used."""


class ArtifactError(XalignError):
    """A file that could not be had from the package index, the hub or a folder, or is damaged."""


class ModelError(XalignError):
    """A model or tokenizer that cannot be loaded, or does not do what is asked of it."""


class RunError(XalignError):
    """A run that cannot start or go on: its folder, its disk, its losses."""


class Stopped(BaseException):
    """A signal asked the run to stop. No `Exception`: nobody's `except Exception` may swallow it.

    The exit status is 128 + the signal's number, as shells have it: SIGINT 130, SIGTERM 143, SIGUSR1 138.
    """

    def __init__(self, number: int, saved: str = "what was done so far is kept") -> None:
        self.number = number
        self.saved = saved
        self.exit_code = 128 + number
        super().__init__(f"stopped by {signal.Signals(number).name}; {saved}; the same command goes on")


class Pruned(XalignError):
    """A trial that its search gives up: no mistake of anybody's."""

    exit_code = 0


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """`'; did you mean 'tau'?'` for the closest allowed name, or an empty string."""
    close = get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""


def needs_extra(choice: str, extra: str) -> str:
    """What to say where a choice needs a package that is not installed."""
    return f"{choice}: needs the extra: pip install 'xalign[{extra}]'"


def user_facing(main: Callable[P, T]) -> Callable[P, T]:
    """Let an entry point end with one message and an exit code where the mistake is the user's.

    Ctrl-C ends with 130, as shells expect, and says that nothing is lost; other signals likewise (`Stopped`).
    """

    @wraps(main)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return main(*args, **kwargs)
        except (XalignError, Stopped) as error:
            print(f"xalign: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
        except OSError as error:
            # Full disks, unwritable folders, lost file systems: the system's own words say it best.
            where = f" ({error.filename})" if error.filename else ""
            print(f"xalign: {error.strerror or error}{where}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("xalign: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
            sys.exit(130)

    return wrapped
