"""The frontier as a picture: alignment gained against use kept, every way a curve over how far weights go.

python experiments/harmless/picture.py BASE.json OUTPUT.png FILE.json ...
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from table import LAYER, by_language, nats_of

from xalign.base.drawing import PALETTE, applied, new_figure
from xalign.evaluation.results import Evaluation


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    before = Evaluation.read(arguments.base)
    first = nats_of(before)
    start = (0.0, float(np.mean([*by_language(before, "retrieval@1", LAYER).values()])))
    curves: dict[str, list[tuple[float, float]]] = defaultdict(lambda: [start])
    for path in sorted(arguments.files):  # the shorter way first
        after = Evaluation.read(path)
        second = nats_of(after)
        gain = float(np.mean([(first[key] - second[key]).mean() for key in first]))
        aligned = float(np.mean([*by_language(after, "retrieval@1", LAYER).values()]))
        curves[path.parent.parent.name].append((gain, aligned))
    with applied():
        figure = new_figure(7.5, 4.8)
        axes = figure.subplots()
        for colour, (name, points) in zip(PALETTE, curves.items(), strict=False):
            axes.plot(*zip(*points, strict=True), color=colour, marker="o", markersize=4, label=name)
        axes.axvline(0, color="0.6", linewidth=1)
        axes.set(
            xlabel="change of the reference's log-likelihood, nats a sentence (mean of both directions)",
            ylabel=f"retrieval@1 at layer {LAYER}",
            title="Alignment gained against use kept: ten languages of Tatoeba",
        )
        axes.legend(fontsize=8)
        figure.savefig(arguments.output)


if __name__ == "__main__":
    main()
