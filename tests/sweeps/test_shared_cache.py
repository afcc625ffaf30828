"""Jobs that run side by side make the measurement before training once, and all read the same."""

import subprocess
import sys
from pathlib import Path

from sweep_helpers import environment

JOB = """
import sys, time
from pathlib import Path
from xalign.evaluation.engine.cache import cached_part
from xalign.evaluation.results import Result
from xalign.evaluation.task import Measured

def compute(journal):
    with Path("computed").open("a") as file:
        file.write("x")
    time.sleep(0.5)
    row = dict(benchmark="b", language="fr", metric="m", value=0.5, stderr=None, n=1, layer=None, shots=None)
    return Measured([Result(**row, version="1")], {})

for part in range(3):
    print(cached_part({"part": part}, compute).results[0].value)
"""


def test_two_jobs_measure_once(tmp_path: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", JOB],
            cwd=tmp_path,
            env=environment(XALIGN_CACHE=str(tmp_path / "cache")),
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    assert [process.communicate(timeout=60)[0] for process in processes] == ["0.5\n0.5\n0.5\n"] * 2
    assert (tmp_path / "computed").read_text() == "xxx"
