"""Few-shot translation choice: the right translation among others of similar length, from any parallel text.

Demonstrations and query are written by one formatter: `{x} = {y}` a line, and `{x} =` at the end.
"""

import logging
from collections.abc import Sequence
from zlib import crc32

import numpy as np

from xalign.evaluation.retrieval import distinct_pairs, fold
from xalign.evaluation.tasks.multiple_choice import Choice

log = logging.getLogger(__name__)

VERSION = "1"

NEAREST = 8
"""Each distractor is drawn from this many times as many wrong translations of the nearest lengths."""

Pairs = Sequence[tuple[str, str]]


def choices(
    language: str,
    pairs: Pairs,
    demonstrations: Pairs,
    *,
    shots: int,
    distractors: int,
    limit: int | None,
    seed: int,
) -> list[Choice]:
    """Items of one language, from pairs (pivot text, text) that are measured and others to show.

    The first `limit` pairs are asked; wrong candidates come from all of them. Everything random follows
    from (seed, language). A demonstration that shares a side with a measured pair is not used. Languages
    with too few texts give no items, and those with too few demonstrations use what there is; both are
    logged.
    """
    rng = np.random.default_rng([seed, crc32(language.encode())])
    tested = distinct_pairs(pairs)
    if len(tested) <= distractors:
        log.warning("translation choice: %s has %d texts, too few: not measured", language, len(tested))
        return []
    shown = _draw_demonstrations(demonstrations, tested, shots, rng)
    if len(shown) < shots:
        log.warning("translation choice: %s has only %d demonstrations", language, len(shown))
    prefix = "".join(query(x) + candidate(y) + "\n" for x, y in shown)
    lengths = np.array([len(y.encode()) for _, (_, y) in tested])
    items = []
    for place, (index, (source, target)) in enumerate(tested[:limit]):
        # The item itself is nearest of all in length, wherever it stands among equals.
        distance = np.abs(lengths - lengths[place])
        distance[place] = -1
        near = np.argsort(distance, kind="stable")[1 : 1 + NEAREST * distractors]
        wrong = [tested[k][1][1] for k in rng.choice(near, distractors, replace=False)]
        gold = int(rng.integers(distractors + 1))
        texts = [*wrong[:gold], target, *wrong[gold:]]
        items.append(
            Choice(language, index, prefix, query(source), tuple(map(candidate, texts)), gold, len(shown))
        )
    return items


def query(source: str) -> str:
    """What stands before a translation, in demonstrations and in the question alike."""
    return f"{source} ="


def candidate(target: str) -> str:
    """A translation as it follows `query`."""
    return f" {target}"


def _draw_demonstrations(
    demonstrations: Pairs, tested: list[tuple[int, tuple[str, str]]], shots: int, rng: np.random.Generator
) -> list[tuple[str, str]]:
    measured = {fold(side) for _, pair in tested for side in pair}
    free = [
        p
        for _, p in distinct_pairs(demonstrations)
        if fold(p[0]) not in measured and fold(p[1]) not in measured
    ]
    return [free[k] for k in rng.choice(len(free), min(shots, len(free)), replace=False)] if free else []
