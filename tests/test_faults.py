"""Faults of the machine, tried on whole runs: docs/faults.md says what happens at each."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_run import QUICK, catalogues, xalign

EXPERIMENT = Path(__file__).parents[1] / "experiments" / "kill_test"
sys.path.append(str(EXPERIMENT))  # stays: the attempts' processes look there, too

from killing import attempt, differences  # noqa: E402

from xalign.training.checkpoints import newest  # noqa: E402


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    catalogues(tmp_path / "corpus")
    return tmp_path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


SMALL = (*QUICK, "benchmark.tasks=[bits_per_byte]", "benchmark.limit=4", "loss.retention_weight=0")


@pytest.mark.slow
def test_a_full_disk_keeps_the_state_and_room_lets_the_run_go_on(place: Path, disk: Path) -> None:
    """No checkpoint fits, then one more at a time: one message each time, and nothing half."""
    asked = [*SMALL, f"data.path={place / 'corpus'}", "trainer.checkpoint_every=2", "trainer.threads=1"]
    assert attempt(asked, place / "whole", None).exit_code == 0
    whole = newest(place / "whole/run/checkpoints")
    assert whole is not None
    size = whole.state.stat().st_size
    asked += [f"run.dir={disk / 'run'}"]
    filler = disk / "filler"
    checkpoints = []
    for room in (0.1, 1.4, 1.2):  # for so many checkpoints
        filler.unlink(missing_ok=True)
        filler.write_bytes(b"x" * (shutil.disk_usage(disk).free - int(room * size)))
        assert attempt(asked, place / "full", None).exit_code == 1
        log = (place / "full/output.log").read_text()
        assert "Traceback" not in log
        assert "No space left on device" in log.splitlines()[-1]
        assert log.splitlines()[-1].startswith("xalign: ")
        found = newest(disk / "run/checkpoints")
        checkpoints.append(found and found.step)
    assert checkpoints == [None, 2, 4]
    assert not [*disk.rglob("*.part")]
    filler.unlink()
    assert attempt(asked, place / "full", None).exit_code == 0
    assert differences(disk / "run", place / "whole/run") == []


@pytest.mark.slow
def test_a_read_only_disk_is_named(place: Path, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    done = xalign("run", *SMALL, "run.dir=disk/run", cwd=place)
    assert done.returncode == 2
    assert "run.dir=disk/run: no right to write into" in done.stderr
    assert "Traceback" not in done.stderr
