"""What a run sets in the libraries under it."""

import subprocess
import sys

import pytest

SCRIPT = """
import torch
from pathlib import Path
from xalign.workspace.environment import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

assert keep_freed_memory()
before = resident()
large, small = torch.ones(2**25), [torch.ones(2**20) for _ in range(32)]
held = resident()
del small
kept = resident()
del large
print(held - before, held - kept, kept - resident())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's settings")
def test_small_pieces_are_kept_and_large_ones_handed_back() -> None:
    """128 MiB in pieces of 4 and 128 MiB in one."""
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    held, small, large = (float(word) for word in done.stdout.split())
    assert 250 < held < 270
    assert small < 8
    assert 120 < large < 136
