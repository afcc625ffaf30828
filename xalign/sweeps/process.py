"""One job of a sweep: `python -m xalign.sweeps.process CONFIG ERRORS`, as `xalign.sweeps.job` starts it.

Where it fails, the message is also left in the file ERRORS, for the sweep's summary.
"""

import ctypes
import signal
import sys
from contextlib import suppress
from pathlib import Path

import yaml

from xalign.base.errors import XalignError, user_facing
from xalign.cli.validation import resolve
from xalign.config.schema import Config
from xalign.sweeps.folder import own_overrides

_PR_SET_PDEATHSIG = 1


@user_facing
def main() -> None:
    """Carry out the run that the file describes."""
    description, errors = Path(sys.argv[1]), Path(sys.argv[2])
    _end_with_parent()
    # Slurm sends it to all processes of a job; the one that waits for this one passes on what is to be done.
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    job = yaml.safe_load(description.read_text(encoding="utf-8"))
    config = resolve(job["config"], Config)
    assert config.run.dir is not None
    # The run writes down its command: the one that repeats it by itself.
    sys.argv[1:] = own_overrides(job["overrides"], config.run.dir)
    from xalign.runs.experiment import run

    try:
        run(config)
    except BaseException as error:
        errors.write_text(_message(error), encoding="utf-8")
        raise


def _message(error: BaseException) -> str:
    if isinstance(error, XalignError | OSError):
        return str(error)
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _end_with_parent() -> None:
    """SIGTERM when the process that waits for this one is killed: nothing is left behind (Linux)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    main()
