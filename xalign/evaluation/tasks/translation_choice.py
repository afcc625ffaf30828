"""Few-shot translation choice: the right one among others of similar length, from any parallel text."""

import logging
from collections.abc import Sequence
from zlib import crc32

import numpy as np

from xalign.errors import DataError
from xalign.evaluation.multiple_choice import Item, Questions, question_part
from xalign.evaluation.parallel_prompts import answer, demonstration_lines, draw_demonstrations, question
from xalign.evaluation.sentences import Pairs, sentence_pairs
from xalign.evaluation.similarity import distinct_pairs
from xalign.evaluation.task import Part, Setting, Task

log = logging.getLogger(__name__)

VERSION = "1"

NEAREST = 8
"""Each distractor is drawn from this many times as many wrong translations of the nearest lengths."""


def _parts(setting: Setting) -> list[Part]:
    config, text = setting.benchmark, setting.demonstrations
    if text is None and config.choice_shots > 0:
        raise DataError(
            f"benchmark.choice_shots={config.choice_shots}: '{config.name}' has no text for demonstrations "
            "apart from what it measures; set benchmark.choice_shots=0"
        )
    parts = []
    for language, pairs in sentence_pairs(setting, "translation_choice").items():
        # Everything random follows from the seed and the language.
        rng = np.random.default_rng([setting.seed, crc32(language.encode())])
        candidates = text.pairs(setting.pivot, language) if text is not None else []
        shown = draw_demonstrations(
            candidates, [p for _, p in distinct_pairs(pairs)], config.choice_shots, rng
        )
        if len(shown) < config.choice_shots:
            log.warning("translation choice: %s has only %d demonstrations", language, len(shown))
        items = choices(pairs, config.distractors, config.choice_limit, rng)
        if not items:
            log.warning("translation choice: %s has %d texts, too few: not measured", language, len(pairs))
            continue
        # What a set of sentences is made to ask is a benchmark of its own.
        name = "translation_choice"
        prompt = [demonstration_lines([pair]) for pair in shown]
        parts.append(question_part(Questions(name, name, VERSION, language, items, prompt, len(shown))))
    return parts


def choices(pairs: Pairs, distractors: int, limit: int | None, rng: np.random.Generator) -> Sequence[Item]:
    """The first `limit` distinct pairs as questions; wrong candidates come from all of them.

    None where there are too few texts for the distractors.
    """
    tested = distinct_pairs(pairs)
    if len(tested) <= distractors:
        return []
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
        items.append(Item(index, (question(source),) * len(texts), tuple(map(answer, texts)), gold))
    return items


TASK = Task(VERSION, parallel_text=True, parts=_parts)
