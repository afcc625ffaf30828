"""Few-shot prompts from parallel text: `{x} = {y}` a line, and `{x} =` at the end.

Demonstrations and question are written by one formatter, here, for choosing and for making translations.
"""

import logging
from collections.abc import Sequence

import numpy as np

from xalign.base.errors import DataError
from xalign.evaluation.engine.similarity import distinct_pairs, fold
from xalign.evaluation.task import Setting

log = logging.getLogger(__name__)

Pairs = Sequence[tuple[str, str]]
"""(pivot text, text)."""


def question(source: str) -> str:
    """What stands before a translation, in demonstrations and at the end alike."""
    return f"{source} ="


def answer(target: str) -> str:
    """A translation as it follows `question`."""
    return f" {target}"


def demonstration_lines(shown: Pairs) -> str:
    """Demonstrations as they stand before a question."""
    return "".join(question(x) + answer(y) + "\n" for x, y in shown)


def turned(pairs: Pairs) -> list[tuple[str, str]]:
    """The pairs the other way round: (text, pivot text)."""
    return [(y, x) for x, y in pairs]


def shown_before(
    setting: Setting, language: str, measured: Pairs, rng: np.random.Generator, task: str
) -> list[tuple[str, str]]:
    """The benchmark's demonstrations in a language; fewer, with a warning, where the text has fewer.

    Raises:
        DataError: demonstrations are wanted, and there is no text for them.
    """
    shots, text, name = setting.benchmark.shots or 0, setting.demonstrations, setting.benchmark.name
    if shots == 0:
        return []
    if text is None:
        raise DataError(
            f"benchmark.shots={shots}: '{name}' has no text for demonstrations apart from what it measures; "
            "set benchmark.shots=0"
        )
    shown = sample_demonstrations(text.pairs(setting.pivot, language), measured, shots, rng)
    if len(shown) < shots:
        log.warning("%s: %s has only %d demonstrations", task, language, len(shown))
    return shown


def sample_demonstrations(
    candidates: Pairs, measured: Pairs, shots: int, rng: np.random.Generator
) -> list[tuple[str, str]]:
    """At most `shots` pairs out of `candidates`, none of which shares a side with a measured pair."""
    known = {fold(side) for pair in measured for side in pair}
    free = [p for _, p in distinct_pairs(candidates) if not known & {fold(side) for side in p}]
    return [free[k] for k in rng.choice(len(free), min(shots, len(free)), replace=False)] if free else []
