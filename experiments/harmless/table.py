"""The frontier: alignment gained against use lost, a row for each file that measure.py wrote.

    python experiments/harmless/table.py BASE.json FILE.json ...

Retrieval@1, mean over languages: at the aligned layer, centred there, each language's best layer, both, and
Spanish, which is not trained on, at the aligned layer. LL: mean over languages of the change of the
reference's log-likelihood (nats a sentence; above 0 is better), with a 95 % interval from resampling
sentences. Worse and better: languages (`fr>`: into French, `fr<`: out of it) after Holm's correction over
both directions of all. Bits per byte, change in per cent: mean over languages, the worst one, English.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from xalign.evaluation.paired_tests import SIGNIFICANCE, holm, sign_flips
from xalign.evaluation.results import Evaluation

LAYER = 9
ARROWS = {"into": ">", "from": "<"}
COLUMNS = (
    "model", "layer 9", "centred", "best", "best, centred", "Spanish", "LL into", "LL out of",
    "worse", "better", "bits per byte, %",
)  # fmt: skip


def nats_of(evaluation: Evaluation) -> dict[tuple[str, str], np.ndarray]:
    """(direction, language) -> nats of each reference."""
    found = defaultdict(list)
    for record in evaluation.items["tatoeba.translation_likelihood"]:
        for name, value in record["metrics"].items():
            found[name.rpartition("_")[2], record["language"]].append(value)
    return {key: np.array(values) for key, values in found.items()}


def by_language(evaluation: Evaluation, metric: str, layer: int | None = None) -> dict[str, float]:
    return {r.language: r.value for r in evaluation.results if (r.metric, r.layer) == (metric, layer)}


def mean_gain(gains: list[np.ndarray], seed: int = 0) -> str:
    """The mean over languages with its bootstrap interval."""
    rng = np.random.default_rng(seed)
    means = np.mean([own[rng.integers(len(own), size=(5000, len(own)))].mean(1) for own in gains], axis=0)
    low, high = np.quantile(means, [0.025, 0.975])
    return f"{np.mean([own.mean() for own in gains]):+.2f} [{low:+.2f}, {high:+.2f}]"


def significant(gains: dict[tuple[str, str], np.ndarray], sign: int) -> str:
    """The directions that got significantly worse (-1) or better (1)."""
    p_values = [
        sign_flips(own[:, None], np.full((len(own), 1), 1 / len(own)), len(gains), [0])[0].p_value
        for own in gains.values()
    ]
    found = [
        language + ARROWS[way]
        for ((way, language), own), p in zip(gains.items(), holm(p_values), strict=True)
        if p < SIGNIFICANCE and np.sign(own.mean()) == sign
    ]
    return " ".join(sorted(found)) or "none"


def bits(before: Evaluation, after: Evaluation) -> str:
    first, second = (by_language(own, "bits_per_byte") for own in (before, after))
    change = {code: 100 * (second[code] / first[code] - 1) for code in first}
    worst = max(change, key=lambda code: change[code])
    mean = np.mean([value for code, value in change.items() if code != "en"])
    return f"{mean:+.2f}, {worst} {change[worst]:+.2f}, en {change['en']:+.2f}"


def row(name: str, before: Evaluation, after: Evaluation) -> str:
    cells = [name]
    for metric, layer in (
        ("retrieval@1", LAYER),
        ("retrieval@1_centred", LAYER),
        ("retrieval@1_best", None),
        ("retrieval@1_best_centred", None),
    ):
        cells.append(f"{np.mean([*by_language(after, metric, layer).values()]):.3f}")
    cells.append(f"{by_language(after, 'retrieval@1', LAYER)['es']:.2f}")
    first, second = nats_of(before), nats_of(after)
    gains = {key: first[key] - second[key] for key in first}
    for way in ARROWS:
        cells.append(mean_gain([own for key, own in gains.items() if key[0] == way]))
    cells += [significant(gains, -1), significant(gains, 1), bits(before, after)]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", type=Path)
    parser.add_argument("files", nargs="*", type=Path)
    arguments = parser.parse_args()
    before = Evaluation.read(arguments.base)
    print(f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}")
    print(row("base", before, before))
    for path in arguments.files:
        print(row(f"{path.parent.parent.name}, {path.stem}", before, Evaluation.read(path)), flush=True)


if __name__ == "__main__":
    main()
