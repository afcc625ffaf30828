"""Few-shot log-likelihood of reference translations: how well a model would write them, without generating.

What a user asks of a model is that it goes on in the right language with the right words. The nats of a
reference after a few demonstrations say so item by item, at the cost of one pass, where chrF needs hundreds
of generated sentences to see the same (experiments/harmless).
"""

from collections.abc import Sequence
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
    from xalign.evaluation.engine.session import Session
    from xalign.evaluation.sets.parallel_prompts import Direction

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
        return Part(self.name, way.language, way.key, len(way.pairs), measure, texts, before)

    def _measure(self, way: "Direction", session: "Session", advance: "Advance") -> Measured:
        import numpy as np

        from xalign.evaluation.engine.scoring import Request, score
        from xalign.evaluation.results import Result
        from xalign.evaluation.sets.parallel_prompts import answer, question

        scores = score(
            session.backbone,
            # The end of the line belongs to it: a model that would go on has not translated yet.
            [Request(way.prefix, question(source), answer(target) + "\n") for source, target in way.pairs],
            batch_tokens=session.batch_tokens,
            journal=session.journal,
            advance=advance,
        )
        nats_N = np.array([-own.log_likelihood for own in scores])
        metric = f"{NATS.name}_{way.name}"
        row = Result(
            benchmark=session.name,
            language=way.language,
            metric=metric,
            value=float(nats_N.mean()),
            stderr=float(nats_N.std(ddof=1) / np.sqrt(len(nats_N))) if len(nats_N) > 1 else None,
            n=len(nats_N),
            shots=len(way.shown),
            version=self.version,
        )
        records = [
            {"language": way.language, "index": index, "metrics": {metric: float(value)}}
            for index, value in enumerate(nats_N)
        ]
        return Measured([row], {f"{session.name}.{self.name}": records})


TASK = TranslationLikelihood
