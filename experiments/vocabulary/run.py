"""A model with more pieces of a language against the same model without, trained for as many steps.

    python experiments/vocabulary/run.py [--language tr] [--size 4000] [--steps 200] [--seeds 0 1 2]

SmolLM2-135M, interface strings of eight packages, of which new pieces are learnt and on which both are
trained (language modelling with a quarter of English, retention, low-rank adapters; of the extended one the
new rows as well). Measured on the sentences that the corpus holds out: bits per byte of the language and of
English before and after, and tokens a word, there and on Tatoeba, text of another kind. What is done stays
done.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoTokenizer

from xalign.models.extension import tokens_a_word

OUTPUT = Path(__file__).parents[2] / "outputs" / "vocabulary"
TATOEBA = {"tr": "tur", "hi": "hin", "et": "est"}


def main() -> None:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=plain)
    parser.add_argument("--language", default="tr")
    parser.add_argument("--size", type=int, default=4000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[3] / "shared" / "data")
    own = parser.parse_args()
    language = f"languages.targets=[{own.language}]"
    model = OUTPUT / f"{own.language}-{own.size}"
    if not model.exists():
        words = ["model=smollm2_135m", language, f"size={own.size}", f"output={model}"]
        run("xalign.vocabulary", *words)
    arms = {"as it is": ["model=smollm2_135m"], "extended": [f"model.path={model}", "adapter.new_rows=true"]}
    bits: dict[str, list[dict[str, tuple[float, float]]]] = {arm: [] for arm in arms}
    for seed in own.seeds:
        for arm, options in arms.items():
            folder = OUTPUT / f"{own.language}-{own.size}-{own.steps}-{arm.replace(' ', '_')}-{seed}"
            trained = ["data=catalogues_all", "loss=language_modelling", "loss.retention_weight=1"]
            measured_on = ["languages.unseen=[]", "benchmark.tasks=[bits_per_byte]"]
            length = [f"trainer.steps={own.steps}", f"seed={seed}", f"run.dir={folder}"]
            run("xalign.run", *options, language, *trained, *measured_on, *length)
            bits[arm].append({c: measured(folder, c) for c in (own.language, "en")})
    print("| | tokens a word, held out | Tatoeba | bits per byte before | after | English before | after |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    fertility = json.loads((model / "xalign_vocabulary.json").read_text(encoding="utf-8"))["fertility"]
    file = own.data / "tatoeba" / f"tatoeba.{TATOEBA[own.language]}-eng.{TATOEBA[own.language]}"
    texts = file.read_text(encoding="utf-8").splitlines()
    for arm, found in bits.items():
        made_by = (
            model if arm == "extended" else OUTPUT / f"{own.language}-{own.size}-{own.steps}-as_it_is-0/model"
        )
        on_tatoeba = tokens_a_word(AutoTokenizer.from_pretrained(made_by), texts, True)
        key = "after" if arm == "extended" else "before"
        cells = [f"{fertility[1][key]:.2f}", f"{on_tatoeba:.2f}"]
        for code in (own.language, "en"):
            for place in (0, 1):
                values = [seed[code][place] for seed in found]
                spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 and place else ""
                cells.append(f"{np.mean(values):.3f}{spread}")
        print(f"| {arm} | {' | '.join(cells)} |")


def measured(folder: Path, language: str) -> tuple[float, float]:
    """Bits per byte of held-out text before and after training."""
    found = []
    for name in ("before", "after"):
        rows: list[dict[str, Any]] = json.loads((folder / "evaluation" / f"{name}.json").read_text())[
            "results"
        ]
        found += [r["value"] for r in rows if (r["metric"], r["language"]) == ("bits_per_byte", language)]
    return found[0], found[1]


def run(module: str, *words: str) -> None:
    subprocess.run([sys.executable, "-m", module, *words], check=True, stdout=sys.stderr)


if __name__ == "__main__":
    main()
