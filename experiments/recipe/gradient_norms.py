"""How long each objective's gradient is before it is clipped, by what is trained and how cosines are taken.

    python experiments/recipe/gradient_norms.py [--steps 4]

Ordinary runs with the default model and data, cut short; the table goes to standard output.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

OUTPUT = Path(__file__).parents[2] / "outputs" / "gradient_norms"
QUICK = [
    "benchmark.tasks=[bits_per_byte]", "benchmark.limit=4", "trainer.gradient_stats_every=1",
    "loss.objectives.retention.batch_size=4",
]  # fmt: skip
CASES = {
    "LoRA, centred, layer 9, mean": [],
    "LoRA, raw, layer 9, mean": ["loss.centering=none"],
    "LoRA, raw, layer 1, last token": ["loss.centering=none", "loss.layer=1", "loss.pooling=last"],
    "full, centred, layer 9, mean": ["adapter=full"],
    "full, raw, layer 9, mean": ["adapter=full", "loss.centering=none"],
    "full, raw, layer 1, last token": [
        "adapter=full", "loss.centering=none", "loss.layer=1", "loss.pooling=last",
    ],
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=4)
    steps = parser.parse_args().steps
    print("| trained, cosines | contrastive | instruction | instruction / contrastive |")
    print("| --- | --- | --- | --- |")
    for name, changes in CASES.items():
        folder = OUTPUT / name.replace(" ", "_").replace(",", "")
        command = [
            sys.executable,
            "-m",
            "xalign.run",
            *QUICK,
            *changes,
            f"trainer.steps={steps}",
            f"run.dir={folder}",
        ]
        subprocess.run(command, check=True, stdout=sys.stderr)
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        norms = [[line[f"gradient_norm/{part}"] for line in lines] for part in ("contrastive", "instruction")]
        ratios = [i / c for c, i in zip(*norms, strict=True)]
        shown = [[f"{value:.2g}" for value in own] for own in (*norms, ratios)]
        print(f"| {name} | {' | '.join(map(' '.join, shown))} |", flush=True)


if __name__ == "__main__":
    main()
