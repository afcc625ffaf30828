"""What defaults cost and give over seeds, on the half of Tatoeba that is reported: a column each.

    python experiments/harmless/seeds.py BASE_FOLDER --of NAME RUN RUN RUN [--of NAME RUN RUN RUN]

Reads what measure.py wrote of `report`, with `--tasks translation` as well. Changes are means over seeds;
intervals (95 %) resample sentences, of which each stands for its mean over seeds. Worse and better: languages
(`fr>`: into French, `fr<`: out of it) after Holm's correction over both directions of all.
"""

import argparse
from pathlib import Path

import numpy as np
from table import ARROWS, LAYER, by_language, mean_gain, nats_of, significant

from xalign.evaluation.results import Evaluation

SPREAD = "{:+.2f} to {:+.2f} by seed"


def chrf_of(evaluation: Evaluation) -> dict[tuple[str, str], np.ndarray]:
    """(direction, language) -> chrF++ of each sentence."""
    found: dict[tuple[str, str], list[float]] = {}
    for record in evaluation.items["tatoeba.translation"]:
        found.setdefault((record["direction"], record["language"]), []).append(record["chrf"])
    return {key: np.array(values) for key, values in found.items()}


def mean_over_seeds(
    first: dict[tuple[str, str], np.ndarray], others: list[dict[tuple[str, str], np.ndarray]], sign: int
) -> list[dict[tuple[str, str], np.ndarray]]:
    """The gain of each sentence: its mean over seeds, then that of each seed."""
    own = [{key: sign * (other[key] - values) for key, values in first.items()} for other in others]
    return [{key: np.mean([gains[key] for gains in own], axis=0) for key in first}, *own]


def change(gains: list[dict[tuple[str, str], np.ndarray]], way: str, without: str = "") -> str:
    picked = [
        [own for (direction, language), own in seed.items() if direction == way and language != without]
        for seed in gains
    ]
    single = [float(np.mean([own.mean() for own in seed])) for seed in picked[1:]]
    return f"{mean_gain(picked[0])}, {SPREAD.format(min(single), max(single))}"


def aligned(runs: list[Evaluation], metric: str, language: str | None = None) -> str:
    def value(run: Evaluation) -> float:
        own = by_language(run, metric, LAYER)
        return own[language] if language else float(np.mean([*own.values()]))

    return f"{np.mean([value(run) for run in runs]):.3f} ({' '.join(f'{value(run):.3f}' for run in runs)})"


def bits(before: Evaluation, runs: list[Evaluation]) -> str:
    first = by_language(before, "bits_per_byte")
    after = [by_language(run, "bits_per_byte") for run in runs]
    percent = {code: 100 * (np.mean([own[code] for own in after]) / first[code] - 1) for code in first}
    return ", ".join(
        f"{code} {value:+.1f}" for code, value in sorted(percent.items(), key=lambda item: -item[1])
    )


def column(before: tuple[Evaluation, Evaluation], runs: list[Path]) -> list[str]:
    measured = [Evaluation.read(run / "tatoeba" / "report-1.json") for run in runs]
    written = [Evaluation.read(run / "tatoeba" / "report-1-translation.json") for run in runs]
    nats = mean_over_seeds(nats_of(before[0]), [nats_of(run) for run in measured], -1)
    chrf = mean_over_seeds(chrf_of(before[1]), [chrf_of(run) for run in written], 1)
    return [
        aligned(measured, "retrieval@1"),
        aligned(measured, "retrieval@1_centred"),
        aligned(measured, "retrieval@1", "es"),
        *(change(nats, way) for way in ARROWS),
        change(nats, "into", without="zh"),
        significant(nats[0], -1),
        significant(nats[0], 1),
        *(change(chrf, way) for way in ARROWS),
        significant(chrf[0], -1),
        bits(before[0], measured),
    ]


ROWS = (
    "retrieval@1, layer 9", "the same, centred", "Spanish, never trained on",
    "reference, nats a sentence, into", "out of", "into, without Chinese", "worse", "better",
    "chrF++ of a sentence, into", "out of", "worse", "bits per byte, %",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", type=Path)
    parser.add_argument("--of", nargs="+", action="append", required=True, metavar="NAME RUN")
    arguments = parser.parse_args()
    before = tuple(
        Evaluation.read(arguments.base / f"report{ending}.json") for ending in ("", "-translation")
    )
    start = [aligned([before[0]], "retrieval@1"), aligned([before[0]], "retrieval@1_centred")]
    start += [aligned([before[0]], "retrieval@1", "es"), *[""] * (len(ROWS) - 3)]
    columns = [column((before[0], before[1]), [Path(run) for run in own[1:]]) for own in arguments.of]
    names = ["", "before training", *(own[0] for own in arguments.of)]
    print(f"| {' | '.join(names)} |\n|{' --- |' * len(names)}")
    for cells in zip(ROWS, start, *columns, strict=True):
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
