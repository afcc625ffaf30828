"""Ways of keeping use, each an ordinary run, measured on the half of Tatoeba that is chosen by.

    python experiments/harmless/run.py [--seed 0] [--blend 1 0.7] [NAME ...]

Finished runs are not repeated. About eight minutes a way on two cores.
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OUTPUT = HERE.parents[1] / "outputs" / "harmless"

FORMER = [
    *("adapter.layers=all", "loss.instruction_weight=0.3", "loss.retention_weight=0.9", "optimizer.lr=8e-4"),
    *("trainer.steps=100", "instructions.p_cross=0.5", "instructions.shots=0"),
    *("trainer.instruction_batch_size=4", "trainer.instruction_max_length=256"),
    *("trainer.retention_batch_size=2", "trainer.retention_tokens=64", "trainer.retention_max_length=96"),
    *("trainer.retention_own_fraction=0.5", "trainer.retention_few_shot_fraction=0"),
]
SHOTS = [
    *("instructions.shots=6", "instructions.p_cross=1"),
    *("trainer.instruction_batch_size=2", "trainer.instruction_max_length=160"),
]
RETENTION = [
    *("trainer.retention_batch_size=4", "trainer.retention_tokens=128"),
    "trainer.retention_few_shot_fraction=0.5",
]
WAYS: dict[str, list[str]] = {
    "default": [],
    "former": FORMER,
    "below": [*FORMER, "adapter.layers=below"],
    "retention": [*FORMER, "loss.instruction_weight=0", *RETENTION],
    "below, retention": [*FORMER, "adapter.layers=below", "loss.instruction_weight=0", *RETENTION],
    "retention, shots": [*FORMER, *RETENTION, *SHOTS],
    "below, retention, shots": [
        *(*FORMER, "adapter.layers=below", "loss.instruction_weight=0.5", "loss.retention_weight=1.2"),
        *("optimizer.lr=1e-3", *RETENTION, *SHOTS, "trainer.retention_max_length=128"),
    ],
    "state retention": [
        *(*FORMER, "loss.instruction_weight=0", "loss.retention_weight=0", *RETENTION),
        "loss.objectives.state_retention.weight=0.9",
    ],
    "budget": ["loss.retention_budget=0.05"],
    "projection": ["loss.projection=128"],
    "pcgrad": ["combine=pcgrad", "loss.retention_weight=2.5"],
    "half the rate": ["optimizer.lr=6e-4"],
    "averaged": ["trainer.average_from=0.7"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {'; '.join(WAYS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--blend", nargs="+", default=["1", "0.7"])
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(WAYS):
        parser.error(f"unknown ways: {', '.join(sorted(unknown))}")
    runs = []
    for name in arguments.names or WAYS:
        folder = OUTPUT / f"{name.replace(', ', '-').replace(' ', '_')}-{arguments.seed}"
        runs.append(folder)
        command = [
            *(sys.executable, "-m", "xalign.run", f"run.dir={folder}", f"seed={arguments.seed}"),
            *("benchmark=use", *WAYS[name]),
        ]
        subprocess.run(command, check=True, stdout=sys.stderr)
    measure = [sys.executable, HERE / "measure.py", "choose", *runs, "--blend", *arguments.blend]
    subprocess.run(measure, check=True, stdout=sys.stderr)
    files = [file for run in runs for file in sorted((run / "tatoeba").glob("choose-*.json"))]
    subprocess.run([sys.executable, HERE / "table.py", OUTPUT / "base" / "choose.json", *files], check=True)


if __name__ == "__main__":
    main()
