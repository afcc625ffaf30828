"""What a run ran on, logging to terminal and file, and the silence of libraries that say too much."""

import ctypes
import logging
import os
import platform
import shlex
import subprocess
import sys
import warnings
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xalign.terminal import log_handler

LIBRARIES = (
    "xalign",
    "torch",
    "transformers",
    "pytorch-lightning",
    "peft",
    "datasets",
    "hydra-core",
    "omegaconf",
    "numpy",
)


def describe_environment() -> dict[str, Any]:
    """Versions, hardware, commit and command line, for `environment.json`."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command(),
        "git_commit": _git_commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "versions": {name: _version(name) for name in LIBRARIES},
    }


def set_up_logging(file: Path | None) -> None:
    """Messages of xalign to the terminal (standard error) and, with times, to `file`."""
    root = logging.getLogger("xalign")
    root.handlers.clear()
    root.setLevel(logging.INFO)
    root.propagate = False
    root.addHandler(log_handler())
    if file:
        to_file = _LogFile(file, encoding="utf-8")
        to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        root.addHandler(to_file)


class _LogFile(logging.FileHandler):
    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Nothing: a full disk stops the run with a message of its own, not with a traceback a line."""


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next tensor instead of handing it back to the system.

    By default every tensor over 32 MB is a fresh mapping, and touching its pages for the first time
    costs several times the arithmetic: rounding the 262,144 x 640 embedding of Gemma 3 to bf16 takes
    0.03 s instead of 0.1 to 0.5 s, a training step a third less (experiments/recipe). Whether it took.
    """
    try:
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_max = -1, -4
        return bool(libc.mallopt(m_mmap_max, 0) and libc.mallopt(m_trim_threshold, 2**31 - 1))
    except (OSError, AttributeError):
        return False  # not glibc


def quiet_libraries() -> None:
    """Warnings and bars of libraries that no user of xalign can act on."""
    import datasets
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers|peft")
    warnings.filterwarnings("ignore", ".*is_gradient_checkpointing.*")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def _command() -> str:
    return shlex.join(["python", "-m", "xalign.run", *sys.argv[1:]])


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def _git_commit() -> str | None:
    folder = Path(__file__).parent
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
        return done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
