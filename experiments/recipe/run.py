"""The trade between objectives: the same model and steps, one thing changed at a time, measured on Tatoeba.

    python experiments/recipe/run.py [--tatoeba DIR] [NAME ...]

Every recipe is an ordinary run (finished ones are not repeated); the table goes to standard output.
Retrieval is measured on text of another kind than was trained on (Tatoeba sentences, LASER's layout, first
100 pairs a language), bits per byte on its English side.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
OUTPUT = HERE.parent.parent / "outputs" / "recipe"

RECIPES: dict[str, list[str]] = {
    "default": [],
    "contrastive alone": ["loss=contrastive", "loss.retention_weight=0"],
    "contrastive + retention": ["loss=contrastive"],
    "retention on corpus sentences only": ["trainer.retention_own_fraction=0"],
    "retention on own text only": ["trainer.retention_own_fraction=1"],
    "no retention": ["loss.retention_weight=0"],
    "no queue": ["loss.queue=0"],
    "no centring": ["loss.centering=none"],
    "one global clip, w_i 1.5": ["trainer.clip=total", "loss.instruction_weight=1.5"],
    "instruction alone": ["loss=instruction"],
    "as published, LoRA": ["loss=afp_paper"],
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(RECIPES)}")
    parser.add_argument("--tatoeba", type=Path, default=HERE.parents[2] / "shared" / "data" / "tatoeba")
    arguments = parser.parse_args()
    if not arguments.tatoeba.is_dir():
        parser.error(f"no Tatoeba files in {arguments.tatoeba}; give --tatoeba DIR")
    unknown = set(arguments.names) - set(RECIPES)
    if unknown:
        parser.error(f"unknown recipes: {', '.join(sorted(unknown))}")
    print("| recipe | layer 9 | each language's best | centred, best | English bits per byte | minutes |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in arguments.names or RECIPES:
        folder = OUTPUT / name.replace(" ", "_").replace(",", "").replace("+", "and")
        command = [
            *(sys.executable, "-m", "xalign.run", "benchmark=tatoeba", f"benchmark.path={arguments.tatoeba}"),
            *(f"run.dir={folder}", *RECIPES[name]),
        ]
        subprocess.run(command, check=True, stdout=sys.stderr)
        print(row(name, folder), flush=True)


def row(name: str, folder: Path) -> str:
    comparisons = json.loads((folder / "evaluation" / "comparison.json").read_text())
    environment = json.loads((folder / "environment.json").read_text())

    def change(metric: str, language: str, layer: int | None = None) -> str:
        found = next(
            c for c in comparisons if (c["metric"], c["language"], c["layer"]) == (metric, language, layer)
        )
        return f"{found['before']:.3f} → {found['after']:.3f}"

    layer = environment["layer"]
    cells = [
        change("retrieval@1", "mean", layer),
        change("retrieval@1_best", "mean"),
        change("retrieval@1_best_centred", "mean"),
        change("bits_per_byte", "en"),
        f"{environment['seconds'].get('train', 0) / 60:.1f}",
    ]
    return f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
