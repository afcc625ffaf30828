"""What a run ran on, logging to terminal and file, and the silence of libraries that say too much."""

import ctypes
import logging
import os
import platform
import shlex
import subprocess
import sys
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from xalign.base.terminal import log_handler

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
    """Let glibc keep what is freed in pieces under 32 MiB for the next tensor; whether it took.

    By default it hands memory back, and touching pages for the first time costs more than the arithmetic on
    them. Larger pieces are still mapped apart: kept too, they would soon be split by smaller ones, and with
    a gradient of the vocabulary, training would grow by that table in every micro-batch.

    oneDNN keeps the code of the latest 1,024 products, 0.3 MiB each, by their shapes: those of a step or two
    are enough.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    return _set_thresholds(mapped=2**25, trimmed=2**31 - 1)


def return_freed_memory() -> bool:
    """Let glibc hand back at once what is freed in pieces of 64 KiB and more; whether it took.

    For a process that must not hold more than it needs, as a rank that gathers blocks of a sharded model and
    frees them: glibc would keep a share of each (with four ranks, in the end, as much as the whole model).
    """
    return _set_thresholds(mapped=2**16, trimmed=2**16)


def _set_thresholds(*, mapped: int, trimmed: int) -> bool:
    try:
        libc = ctypes.CDLL(None)
        m_trim_threshold, m_mmap_threshold = -1, -3
        return bool(libc.mallopt(m_mmap_threshold, mapped) and libc.mallopt(m_trim_threshold, trimmed))
    except (OSError, AttributeError):
        return False  # not glibc


def hand_back_freed_memory() -> None:
    """What `keep_freed_memory` has kept, before much else is needed at once."""
    with suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


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
    # Models that bring their own code do not know its new name; transformers 5.40 forgets the old one.
    warnings.filterwarnings("ignore", ".*`past_key_values` is deprecated.*")
    # Of adapters of experts, whose keys peft itself makes and then looks for among modules alone.
    warnings.filterwarnings("ignore", ".*_pattern keys did not match any targeted module.*")
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")
    warnings.filterwarnings("ignore", r"Found \d+ module.s. in eval mode.*")  # on purpose: models/dropout.py
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
