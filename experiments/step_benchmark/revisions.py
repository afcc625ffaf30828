"""Seconds of a training step of whole runs, at several commits by turns: what code or recipe changed.

    python experiments/step_benchmark/revisions.py 771220f HEAD [--steps 12] [--repeats 3] [KEY=VALUE ...]

Each commit's `python -m xalign.run experiment=demo`, cut to a few steps and next to no measuring, with the
recipe that it has by default. Seconds are medians over the steps (of `metrics.jsonl`) and repeats; "in all"
is that times the steps of the recipe. Memory is the largest of the process in training, median of repeats.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import yaml

WARM_UP = 2
"""Steps that are not counted."""


def unpacked(revision: str, folder: Path) -> Path:
    """The commit's files in a folder.

    Raises:
        SystemExit: git knows no such commit.
    """
    archive = subprocess.run(["git", "archive", revision], capture_output=True, check=False)
    if archive.returncode:
        sys.exit(archive.stderr.decode().strip())
    folder.mkdir()
    subprocess.run(["tar", "-x"], input=archive.stdout, cwd=folder, check=True)
    return folder


def steps_of(tree: Path, run: Path, steps: int, overrides: list[str]) -> tuple[list[float], float]:
    """Seconds of each step of a run, those that warm up left out, and the peak of its memory in GB.

    Raises:
        SystemExit: the run failed; its own messages stand above.
    """
    command = [
        *(sys.executable, "-m", "xalign.run", "experiment=demo", f"run.dir={run}", "logger=none"),
        *(f"trainer.steps={steps + WARM_UP}", "benchmark.tasks=[retrieval]", "benchmark.limit=4"),
    ]
    done = subprocess.run(
        [*command, *overrides],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree)},
        stdout=subprocess.DEVNULL,
    )
    if done.returncode:
        sys.exit(f"the run of {tree.name} failed with exit code {done.returncode}")
    pairs = yaml.safe_load((run / "config.yaml").read_text())["trainer"]["batch_size"]
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    peak = max(line["peak_memory_gb"] for line in lines)
    return [pairs / line["pairs_per_second"] for line in lines[WARM_UP:]], peak


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="+", metavar="COMMIT|KEY=VALUE", help="commits, and values for all")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    overrides = [word for word in arguments.words if "=" in word]
    revisions = [word for word in arguments.words if "=" not in word]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        trees = {revision: unpacked(revision, place / revision.replace("/", "-")) for revision in revisions}
        found: dict[str, list[float]] = {revision: [] for revision in revisions}
        peaks: dict[str, list[float]] = {revision: [] for revision in revisions}
        for repeat in range(arguments.repeats):
            for revision, tree in trees.items():
                run = place / f"run-{tree.name}-{repeat}"
                seconds, peak = steps_of(tree, run, arguments.steps, overrides)
                found[revision] += seconds
                peaks[revision].append(peak)
        print("| commit | seconds a step | steps | seconds in all | times as fast as the first | GB |")
        print("| --- | --- | --- | --- | --- | --- |")
        first = 0.0
        for revision, tree in trees.items():
            steps = yaml.safe_load((tree / "conf/trainer/default.yaml").read_text())["steps"]
            each = median(found[revision])
            first = first or steps * each
            ratio = first / (steps * each)
            memory = f"{median(peaks[revision]):.2f}"
            print(f"| {revision} | {each:.2f} | {steps} | {steps * each:.0f} | {ratio:.2f} | {memory} |")


if __name__ == "__main__":
    main()
