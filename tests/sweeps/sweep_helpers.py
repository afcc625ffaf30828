"""Sweeps through the real entry point, whose jobs are done by a stand-in (stand_in/sitecustomize.py)."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

STAND_IN = Path(__file__).parent / "stand_in"
ROOT = Path(__file__).parent.parent.parent
JUDGED = (
    "benchmark@validation=heldout", "trainer.evaluate_every=1", "sweep.metric=eval/heldout/retrieval@1/mean",
)  # fmt: skip


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "xalign.run", "-m", "experiment=quick", *arguments]


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join([str(STAND_IN), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path, "COLUMNS": "160", **more}


def sweep(cwd: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """`python -m xalign.run -m experiment=quick ...` in a folder, to its end."""
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def ran(cwd: Path) -> list[str]:
    """The temperatures of the jobs that were really started, in order."""
    file = cwd / "outputs" / "ran.txt"
    return [line.split()[1] for line in file.read_text().splitlines()] if file.exists() else []


def summary(cwd: Path) -> dict[str, Any]:
    """The one summary under `outputs/sweeps`."""
    (file,) = (cwd / "outputs" / "sweeps").glob("*/summary.json")
    found: dict[str, Any] = json.loads(file.read_text())
    return found
