"""Wall time of a sweep of six tiny runs, one after the other and two at once, by turns.

    python experiments/sweep_benchmark/run.py [--repeats N] [--workers N]

Every sweep starts from the same cache (the corpus fetched, nothing measured, nothing tokenised) and from an
empty folder; then the same command is given again, which must run nothing. A markdown table goes to
standard output. The machine should do nothing else.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SWEEP = ("-m", "loss.tau=0.02,0.05,0.1", "loss.layer=6,9", "experiment=quick")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    ways = {
        "serial": SWEEP,
        f"joblib, {arguments.workers} workers": (
            *SWEEP, "hydra/launcher=joblib", f"hydra.launcher.n_jobs={arguments.workers}",
        ),
    }  # fmt: skip
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    again: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as scratch:
        cache = Path(scratch) / "cache"
        xalign(Path(scratch) / "warm", cache, "experiment=quick", "trainer.steps=1")
        for kept in ("evaluations", "tokens", "own_texts"):
            shutil.rmtree(cache / kept, ignore_errors=True)
        for repeat in range(arguments.repeats):
            for name, words in ways.items():
                place = Path(scratch) / f"{name.split(',')[0]}-{repeat}"
                own = place / "cache"
                shutil.copytree(cache, own)
                seconds[name].append(xalign(place, own, *words))
                done = len(list(place.glob("outputs/*/DONE")))
                assert done == 6, f"{name}: {done} of 6 runs are complete"
                again[name].append(xalign(place, own, *words))
    serial = statistics.median(seconds["serial"])
    print("| way | seconds | ratio | the same command again |\n| --- | --- | --- | --- |")
    for name in ways:
        own = statistics.median(seconds[name])
        print(f"| {name} | {own:.1f} | {own / serial:.2f} | {statistics.median(again[name]):.1f} |")


def xalign(place: Path, cache: Path, *arguments: str) -> float:
    """Seconds of `python -m xalign.run` in a folder."""
    place.mkdir(parents=True, exist_ok=True)
    root = str(Path(__file__).resolve().parent.parent.parent)
    environment = {**os.environ, "XALIGN_CACHE": str(cache), "PYTHONPATH": root}
    started = time.perf_counter()
    with (place / "output.log").open("a") as log:
        done = subprocess.run(
            [sys.executable, "-m", "xalign.run", *arguments],
            cwd=place,
            env=environment,
            stdout=log,
            stderr=log,
            check=False,
        )
    if done.returncode:
        sys.exit((place / "output.log").read_text()[-4000:])
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
