"""Settings that must precede the libraries, and where real data lies."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# With `pytest -n`, each process, and what it starts, has a core of its own: more threads than cores cost many
# times the speed.
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if WORKER and CORES:
    os.sched_setaffinity(0, {CORES[int(WORKER.removeprefix("gw")) % len(CORES)]})
os.environ["OMP_NUM_THREADS"] = "1" if WORKER else os.environ.get("OMP_NUM_THREADS", "2")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

SHARED_DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture
def shared_data() -> Path:
    """The folder of real benchmark data; skips where this machine has only the project."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data not found in {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """A run sets up logging for its whole process; the tests after it want `caplog` to see records."""
    root = logging.getLogger("xalign")
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.propagate = handlers, True
    root.setLevel(level)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes in one piece comes first, or one worker would be busy with it while others wait."""
    items.sort(key=lambda item: item.path.name != "test_ranks.py")
