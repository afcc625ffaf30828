"""Few-shot log-likelihood of reference translations: how well a model would write them, without generating.

What a user asks of a model is that it goes on in the right language with the right words. The nats of a
reference after a few demonstrations say so item by item, at the cost of one pass, where chrF needs hundreds
of generated sentences to see the same (experiments/harmless).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.parts import TaskConfig
from xalign.evaluation.metrics import Metric, translated
from xalign.evaluation.task import Measured, Part, Setting, Task

if TYPE_CHECKING:
    from xalign.base.progress import Advance
    from xalign.evaluation.engine.scoring import Request
    from xalign.evaluation.engine.session import Session
    from xalign.evaluation.sets.parallel_prompts import Direction
    from xalign.models.backbone import Backbone

NATS = Metric(name="reference_nats", label="Nats of the reference", higher_is_better=False)


class TranslationLikelihood(Task):
    """Negative log-likelihood of each reference, into each language and from it, in nats a sentence."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TaskConfig):
        shots: Annotated[int, Field(ge=0), Short("likelihood_shots")] = 4
        """Demonstrations before each sentence."""
        limit: Annotated[int | None, Field(gt=0), Short("likelihood_limit")] = None
        """Sentences a language; null: all that the benchmark's `limit` leaves."""

    config: Config
    parallel_text = True

    def metrics(self) -> Sequence[Metric]:
        return translated(NATS)

    def parts(self, setting: Setting) -> list[Part]:
        from xalign.evaluation.sets.parallel_prompts import directions

        shots, limit = self.config.shots, self.config.limit
        return [
            self._part(way)
            for way in directions(setting, self.name, shots, "benchmark.likelihood_shots", limit)
        ]

    def _part(self, way: "Direction") -> Part:
        texts, before = way.in_language(way.pairs), way.in_language(way.shown)
        measure = partial(self._measure, way)
        return Part(
            self.name, way.language, way.key, len(way.pairs), measure, texts, before, self._check(way)
        )

    def _check(self, way: "Direction") -> "Callable[[Backbone], None]":
        def check(backbone: "Backbone") -> None:
            from xalign.evaluation.engine.scoring import require_room

            require_room(backbone, self._requests(way))

        return check

    def _requests(self, way: "Direction") -> "list[Request]":
        from xalign.evaluation.engine.scoring import Request
        from xalign.evaluation.sets.parallel_prompts import answer, question

        # The end of the line belongs to it: a model that would go on has not translated yet.
        return [Request(way.prefix, question(x), answer(y) + "\n") for x, y in way.pairs]

    def _measure(self, way: "Direction", session: "Session", advance: "Advance") -> Measured:
        from xalign.evaluation.engine.scoring import score

        scores = score(
            session.backbone,
            self._requests(way),
            batch_tokens=session.batch_tokens,
            journal=session.journal,
            advance=advance,
        )
        nats = [-own.log_likelihood for own in scores]
        return self.measured(session, f"{NATS.name}_{way.name}", way.language, nats, len(way.shown))


TASK = TranslationLikelihood
