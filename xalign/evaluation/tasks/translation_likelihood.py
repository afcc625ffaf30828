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
from xalign.evaluation.task import Part, Setting, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xalign.evaluation.engine.scoring import Request
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
        from xalign.evaluation.sets.likelihood import likelihood_part
        from xalign.evaluation.sets.parallel_prompts import directions

        shots, limit = self.config.shots, self.config.limit
        return [
            likelihood_part(
                self,
                f"{NATS.name}_{way.name}",
                way.language,
                way.key,
                partial(_requests, way),
                way.in_language(way.pairs),
                way.in_language(way.shown),
            )
            for way in directions(setting, self.name, shots, "benchmark.likelihood_shots", limit)
        ]


def _requests(way: "Direction", tokenizer: "PreTrainedTokenizerBase") -> "list[Request]":
    from xalign.evaluation.engine.scoring import Request

    # The end of the line, or of the turn, belongs to it: a model that would go on has not translated yet.
    answers = [way.form.ended(tokenizer, target) for _, target in way.pairs]
    return [Request("", prompt, own) for prompt, own in zip(way.prompts(tokenizer), answers, strict=True)]


TASK = TranslationLikelihood
