"""Answers in the language asked for: greedy translations after demonstrations, told apart by py3langid.

A model that was aligned too hard answers in another language than it is asked for (Marchisio et al. 2024,
"Understanding and mitigating language confusion in LLMs", call the share of right ones line-level pass rate).
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.parts import TaskConfig
from xalign.evaluation.metrics import Metric
from xalign.evaluation.task import Measured, Part, Setting, Task

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

    from xalign.base.progress import Advance
    from xalign.evaluation.engine.session import Session
    from xalign.evaluation.sets.parallel_prompts import Direction

log = logging.getLogger(__name__)

RIGHT = Metric(
    name="answered_in_language",
    label="Answers in the language",
    harm="answers less often in {language}",
)


class AnswerLanguage(Task):
    """The share of few-shot translations into each language that are in it, of the languages measured."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TaskConfig):
        shots: Annotated[int, Field(ge=0), Short("answer_shots")] = 4
        """Demonstrations before each sentence."""
        limit: Annotated[int | None, Field(gt=0), Short("answer_limit")] = None
        """Sentences a language; null: all that the benchmark's `limit` leaves."""
        tokens: Annotated[int, Field(gt=0), Short("answer_tokens")] = 16
        """Tokens written of each answer: a line's beginning tells its language."""

    config: Config
    parallel_text = True

    def metrics(self) -> Sequence[Metric]:
        return [RIGHT]

    def parts(self, setting: Setting) -> list[Part]:
        from xalign.evaluation.sets.parallel_prompts import directions

        shots, limit = self.config.shots, self.config.limit
        told = tuple(sorted(told_apart([setting.pivot, *setting.languages])))
        parts = []
        for way in directions(setting, self.name, shots, "benchmark.answer_shots", limit):
            if way.name != "into":
                continue
            if way.language in told:
                parts.append(self._part(way, told))
            else:
                log.warning("%s: py3langid does not know '%s': not measured", self.name, way.language)
        return parts

    def _part(self, way: "Direction", told: tuple[str, ...]) -> Part:
        key = way.key | {"told": told, "tokens": self.config.tokens}
        texts, before = way.in_language(way.pairs), way.in_language(way.shown)
        measure = partial(self._measure, way, told)
        return Part(self.name, way.language, key, len(way.pairs), measure, texts, before, way.require_room)

    def _measure(
        self, way: "Direction", told: tuple[str, ...], session: "Session", advance: "Advance"
    ) -> Measured:
        from xalign.evaluation.engine.generation import continue_greedily

        answers = continue_greedily(
            session.backbone,
            way.prompts(session.backbone.tokenizer),
            [self.config.tokens] * len(way.pairs),
            batch_tokens=session.batch_tokens,
            journal=session.journal,
            advance=advance,
        )
        found = [language_of(answer, told) for answer in answers]
        right = [float(language == way.language) for language in found]
        more = [
            {"answer": answer, "answered_in": language}
            for answer, language in zip(answers, found, strict=True)
        ]
        return self.measured(session, RIGHT.name, way.language, right, len(way.shown), more)


def told_apart(languages: Sequence[str]) -> Collection[str]:
    """Those of the languages (canonical codes) that the identifier knows; of several that it takes for one,
    as scripts of a language, the first."""
    known = set(_identifier(()).labels)
    first: dict[str, str] = {}
    for language in languages:
        first.setdefault(_label(language), language)
    return [language for label, language in first.items() if label in known]


def language_of(text: str, languages: tuple[str, ...]) -> str | None:
    """The likeliest of some languages that the identifier knows; None of a text without a letter."""
    if not any(character.isalpha() for character in text):
        return None
    by_label = {_label(language): language for language in languages}
    return by_label[_identifier(tuple(sorted(by_label))).classify(text)[0]]


@cache
def _identifier(labels: tuple[str, ...]) -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    if labels:
        identifier.set_languages(list(labels))
    return identifier


def _label(language: str) -> str:
    return language.split("-")[0]


TASK = AnswerLanguage
