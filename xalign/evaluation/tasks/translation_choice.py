"""Few-shot translation choice: the right one among others of similar length, from any parallel text."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.parts import TaskConfig
from xalign.config.schema import BenchmarkConfig
from xalign.evaluation.items import DELIMITER, Item
from xalign.evaluation.metrics import Metric, answers
from xalign.evaluation.prompts import prompt_form
from xalign.evaluation.task import Part, Setting, Task

if TYPE_CHECKING:
    import numpy as np

    from xalign.evaluation.sets.sentences import Pairs

log = logging.getLogger(__name__)

NEAREST = 8
"""Each distractor is drawn from this many times as many wrong translations of the nearest lengths."""


class TranslationChoice(Task):
    """Asks which of several texts is the translation."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TaskConfig):
        distractors: Annotated[int, Field(gt=0), Short("distractors")] = 3
        """Wrong translations beside the right one."""
        limit: Annotated[int | None, Field(gt=0), Short("choice_limit")] = None
        """Items a language; null: all that the benchmark's `limit` leaves."""
        shots: Annotated[int, Field(ge=0), Short("choice_shots")] = 2
        """Demonstrations before each item."""

    config: Config
    label = "Translation choice"
    parallel_text = True

    def reported_as(self, benchmark: BenchmarkConfig) -> str:
        # What a set of sentences is made to ask is a benchmark of its own.
        return "translation_choice"

    def metrics(self) -> Sequence[Metric]:
        return answers(self.label, 1 / (self.config.distractors + 1))

    def parts(self, setting: Setting) -> list[Part]:
        from xalign.evaluation.engine.multiple_choice import Questions, question_part
        from xalign.evaluation.engine.similarity import distinct_pairs
        from xalign.evaluation.sets.parallel_prompts import demonstrations_of, shown_before
        from xalign.evaluation.sets.sentences import sentence_pairs

        config = self.config
        parts = []
        for language, pairs in sentence_pairs(setting, self.name).items():
            rng = setting.rng(language)
            measured = [pair for _, pair in distinct_pairs(pairs)]
            shown = shown_before(
                setting, language, measured, rng, "translation choice", config.shots, "benchmark.choice_shots"
            )
            items = choices(pairs, config.distractors, config.limit, rng)
            if not items:
                log.warning(
                    "translation choice: %s has %d texts, too few: not measured", language, len(pairs)
                )
                continue
            asked = Questions(
                name=self.reported_as(setting.benchmark),
                task=self.name,
                version=self.version,
                language=language,
                items=items,
                demonstrations=demonstrations_of(shown),
                shots=len(shown),
                texts=[target for _, target in pairs],
                shown=[target for _, target in shown],
                form=prompt_form(setting.benchmark),
            )
            parts.append(question_part(asked))
        return parts


def choices(
    pairs: "Pairs", distractors: int, limit: int | None, rng: "np.random.Generator"
) -> Sequence[Item]:
    """The first `limit` distinct pairs as questions; wrong candidates come from all of them.

    None where there are too few texts for the distractors.
    """
    import numpy as np

    from xalign.evaluation.engine.similarity import distinct_pairs
    from xalign.evaluation.sets.parallel_prompts import question

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
        answers = tuple(f"{DELIMITER}{text}" for text in texts)
        items.append(Item(index, (question(source),) * len(texts), answers, gold))
    return items


TASK = TranslationChoice
