"""Faults of the machine, tried on whole runs: docs/faults.md says what happens at each."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_run import QUICK, catalogues, xalign


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))
    catalogues(tmp_path / "corpus")
    return tmp_path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


SMALL = (*QUICK, "benchmark.tasks=[bits_per_byte]", "benchmark.limit=4", "loss.retention_weight=0")


@pytest.mark.slow
def test_a_full_disk_keeps_the_state_and_room_lets_the_run_go_on(place: Path, disk: Path) -> None:
    """One checkpoint fits, or the model does not: one message each time, and nothing half."""
    run = (*SMALL, "run.dir=disk/run", "trainer.steps=6", "trainer.checkpoint_every=2")
    filler = disk / "filler"
    seen = set()
    # What is free, in kB, before each attempt.
    for free in (30, 200, 800, 1200, 1600, 3000):
        filler.unlink(missing_ok=True)
        used = sum(file.stat().st_size for file in disk.rglob("*") if file.is_file()) // 1024
        filler.write_bytes(b"x" * max(0, 1024 * (2900 - used - free)))
        done = xalign("run", *run, cwd=place)
        if done.returncode == 0:
            break
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert done.stderr.count("xalign: ") == 1
        assert "No space left on device" in done.stderr or "disk" in done.stderr, done.stderr
        seen.add(done.stderr.splitlines()[-1])
        assert not (disk / "run/model").exists()
    assert seen
    filler.unlink()
    done = xalign("run", *run, cwd=place)
    assert done.returncode == 0, done.stderr
    whole = xalign("run", *run, "run.dir=whole", cwd=place)
    assert whole.returncode == 0, whole.stderr
    name = "model/model.safetensors"
    assert (disk / "run" / name).read_bytes() == (place / "whole" / name).read_bytes()


@pytest.mark.slow
def test_a_disk_that_becomes_read_only(place: Path, disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    done = xalign("run", *SMALL, "run.dir=disk/run", cwd=place)
    assert done.returncode == 1
    assert "xalign: Read-only file system (disk/run)" in done.stderr
    assert "Traceback" not in done.stderr
    assert not any(disk.iterdir())
