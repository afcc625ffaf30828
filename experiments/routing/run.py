"""The language of demonstrations chosen for each question by the model's certainty, or fixed for all.

    python experiments/routing/run.py [--model MODEL] [--benchmark xcopa] [--pivot it] [--shots 4]

Asks every question after demonstrations in its own language, in the pivot and in languages that are drawn,
and routes it to the one of which the model is most certain. (The copy of XCOPA in ../shared/data has no
English.) What is measured is kept in outputs/routing; the table goes to standard output.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from xalign.evaluation.routing import routed

OUTPUT = Path(__file__).parents[2] / "outputs" / "routing"
CHOICES = ("same_language", "pivot", "mixed")


def main() -> None:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--model", default="gemma3_270m")
    parser.add_argument("--benchmark", default="xcopa")
    parser.add_argument("--pivot", default="it")
    parser.add_argument("--shots", type=int, default=4)
    parser.add_argument("--limit", type=int, default=200)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    own = parser.parse_args()
    records: dict[str, dict[tuple[str, int], dict[str, Any]]] = {}
    for choice in CHOICES:
        folder = OUTPUT / f"{own.model}-{own.benchmark}-{own.shots}-{own.limit}-{choice}"
        if not [*folder.glob("*.json")]:
            words = [f"benchmark={own.benchmark}", f"benchmark.path={own.data / own.benchmark}"]
            words += [f"benchmark.shots={own.shots}", f"benchmark.limit={own.limit}"]
            words += [
                f"languages.pivot={own.pivot}",
                "languages.targets=[id,et,th,tr,sw,ta]",
                "languages.unseen=[]",
            ]
            words += [f"benchmark.demonstrations={choice}", f"models=[{own.model}]", f"output={folder}"]
            subprocess.run([sys.executable, "-m", "xalign.evaluate", *words], check=True, stdout=sys.stderr)
        (file,) = folder.glob("*.items.jsonl")
        lines = file.read_text(encoding="utf-8").splitlines()
        records[choice] = {(r["language"], r["index"]): r for r in map(json.loads, lines)}
    asked = sorted(set.intersection(*(set(found) for found in records.values())))
    print(f"| language | questions | {' | '.join(CHOICES)} | routed | oracle |")
    print(f"|{' --- |' * (len(CHOICES) + 4)}")
    for language in [*sorted({code for code, _ in asked}), "all"]:
        keys = [key for key in asked if language in (key[0], "all")]
        found = routed(
            {choice: [records[choice][key]["log_likelihoods"] for key in keys] for choice in CHOICES},
            [records[CHOICES[0]][key]["gold"] for key in keys],
        )
        cells = [f"{found.fixed[choice]:.3f}" for choice in CHOICES]
        cells += [f"{found.routed:.3f}", f"{found.oracle:.3f}"]
        print(f"| {language} | {found.questions} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
