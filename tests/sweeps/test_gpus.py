"""GPUs of jobs that share a machine."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from xalign.sweeps.gpus import VISIBLE, own_gpus, visible_gpus


def shares(places: Path, at_once: int, devices: int) -> list[str | None]:
    """What so many jobs see that run at the same time."""
    with ExitStack() as stack:
        jobs = [stack.enter_context(own_gpus(places, at_once, devices)) for _ in range(at_once)]
        return [job.get(VISIBLE) for job in jobs]


@pytest.mark.parametrize(
    ("visible", "at_once", "devices", "expected"),
    [
        ("0,1,2,3", 2, 2, ["0,1", "2,3"]),
        ("4,6", 2, 1, ["4", "6"]),
        ("GPU-a,GPU-b", 4, 1, ["GPU-a", "GPU-b", "GPU-a", "GPU-b"]),
        ("0", 1, 1, [None]),  # a job that is alone sees what is there
        ("", 2, 1, [None, None]),
    ],
)
def test_each_job_has_its_share(
    visible: str,
    at_once: int,
    devices: int,
    expected: list[str | None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VISIBLE, visible)
    assert shares(tmp_path, at_once, devices) == expected
    assert shares(tmp_path, at_once, devices) == expected  # places are free again


def test_gpus_are_counted_without_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "nvidia-smi"
    fake.write_text("#!/bin/sh\necho 'GPU 0: H100 (UUID: a)'\necho 'GPU 1: H100 (UUID: b)'\n")
    fake.chmod(0o755)
    monkeypatch.delenv(VISIBLE, raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert visible_gpus() == ["0", "1"]
