"""GPUs for jobs that share a machine: each job sees its own, or all would take the first."""

import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which

from filelock import FileLock, Timeout

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """GPUs that processes started from here may use, as CUDA names them; found without importing torch."""
    if VISIBLE in os.environ:
        return [gpu.strip() for gpu in os.environ[VISIBLE].split(",") if gpu.strip()]
    if which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, check=False)
    return [str(index) for index, line in enumerate(listed.stdout.splitlines()) if line.startswith("GPU ")]


@contextmanager
def own_gpus(places: Path, at_once: int, devices: int) -> Iterator[dict[str, str]]:
    """Environment variables that show a job its share of the machine's GPUs, for as long as it runs.

    Args:
        places: folder of the locks by which jobs, in whatever process, take a place each.
        at_once: how many jobs share the machine, and how many places there are.
        devices: GPUs that a job needs. Where there are too few for all, places share them.
    """
    gpus = visible_gpus() if at_once > 1 else []
    if not gpus:
        yield {}
        return
    places.mkdir(parents=True, exist_ok=True)
    for place in range(at_once):
        lock = FileLock(places / f".place-{place}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        try:
            yield {VISIBLE: ",".join(_share(gpus, place, devices))}
        finally:
            lock.release()
        return
    yield {}


def _share(gpus: Sequence[str], place: int, devices: int) -> list[str]:
    wanted = (gpus[(place * devices + i) % len(gpus)] for i in range(devices))
    return list(dict.fromkeys(wanted))
