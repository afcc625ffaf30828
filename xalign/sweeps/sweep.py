"""A sweep from start to finish: its folder, Hydra's launcher and sweeper, the summary."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from xalign.base.errors import RunError
from xalign.cli.command_line import given
from xalign.sweeps.folder import OUTPUTS, Status, Sweep, SweepFolder

LAUNCHERS = ("submitit", "joblib", "ray")
"""Packages whose errors are about where jobs run: a partition that is not there, a node that is gone."""


def carry_out(sweep: Sweep, start: Callable[[], object]) -> None:
    """Let Hydra start the jobs, then sum up; also when interrupted, what there is so far.

    Args:
        sweep: what the command line asks for.
        start: Hydra's main.

    Raises:
        RunError: another process carries the sweep out, or jobs failed.
    """
    own = given(sys.argv[1:], "hydra.sweep.dir")
    folder = SweepFolder(Path(own) if own else OUTPUTS / "sweeps" / sweep.name)
    with folder.locked():
        folder.start(sweep)
        if own is None:
            sys.argv.append(f"hydra.sweep.dir={folder.path}")
        # Or Hydra prints a traceback of what a launcher refuses, and there is nothing left to say better.
        os.environ.setdefault("HYDRA_FULL_ERROR", "1")
        try:
            start()
        except Exception as error:
            if type(error).__module__.split(".")[0] in LAUNCHERS:
                raise RunError(f"the launcher could not run the jobs: {error}") from error
            raise
        finally:
            from xalign.sweeps.summary import show

            show(folder)
    failed = sum(job.status is Status.failed for job in folder.recorded())
    if failed:
        raise RunError(
            f"{failed} of {sweep.jobs} jobs failed, as reported above; the others are kept, and the same "
            "command runs only what is missing"
        )
