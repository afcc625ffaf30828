"""Steps on 1, 2 and 4 ranks of one machine, one thread each: how much of what more ranks could do they do.

    python experiments/scaling/run.py [--steps N] [--model MODEL] [OVERRIDE ...]

Each rank has the same batch size, so N ranks do N times the work a step (weak scaling); efficiency is their
tokens a second over N times those of one rank. A line a strategy, adapter and number of ranks, as markdown.
Runs are whole ones of `python -m xalign.run`, of which `metrics.jsonl` is read.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

WARM_UP = 2
"""Steps that are not counted."""


@dataclass(frozen=True)
class Measured:
    """Medians over a run's steps."""

    seconds: float
    tokens_per_second: float
    gigabytes: float


def measure(folder: Path, overrides: list[str]) -> Measured:
    """Carry out a run and read its steps.

    Raises:
        subprocess.CalledProcessError: it failed; its own message stands above.
    """
    command = [sys.executable, "-m", "xalign.run", f"run.dir={folder}", *overrides]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()][WARM_UP:]
    return Measured(
        statistics.median(sum(v for k, v in line.items() if k.startswith("seconds/")) for line in lines),
        statistics.median(line["tokens_per_second"] for line in lines),
        max(line["peak_memory_gb"] for line in lines),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--model", default="gemma3_270m")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--adapters", nargs="+", default=["lora", "full"])
    arguments, overrides = parser.parse_known_args()
    common = [
        f"model={arguments.model}", f"trainer.steps={arguments.steps + WARM_UP}", "trainer.threads=1",
        "trainer.precision=fp32", "trainer.batch_size=4", "trainer.instruction_batch_size=2",
        "trainer.retention_batch_size=2", "trainer.retention_own_fraction=0", "trainer.checkpoint_every=1000",
        "benchmark.tasks=[retrieval]", "benchmark.limit=2", "logger=none", *overrides,
    ]  # fmt: skip
    print("| trained | strategy | ranks | seconds a step | tokens a second | efficiency | GB a rank |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for adapter in arguments.adapters:
        alone: Measured | None = None
        retention = [] if adapter == "lora" else ["loss.retention_weight=0"]
        for strategy in ("ddp", "fsdp"):
            for ranks in arguments.ranks:
                if ranks == 1 and alone is not None:
                    continue
                name = "single" if ranks == 1 else strategy
                with tempfile.TemporaryDirectory() as folder:
                    spread = [f"strategy={name}", f"trainer.devices={ranks}"]
                    found = measure(Path(folder), [*common, f"adapter={adapter}", *retention, *spread])
                alone = alone or found
                efficiency = found.tokens_per_second / (ranks * alone.tokens_per_second)
                print(
                    f"| {adapter} | {name} | {ranks} | {found.seconds:.2f} | {found.tokens_per_second:.0f} "
                    f"| {efficiency:.0%} | {found.gigabytes:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
