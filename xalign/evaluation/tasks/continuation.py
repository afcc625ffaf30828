"""Few-shot continuation: how well a model goes on with text of one language after some sentences of it.

Nats of a sentence on a line of its own, its line breaks included, after others in the same language. Bits
per byte sees a sentence alone; what is lost of reading a longer context shows here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.files import digest
from xalign.base.registry import Short
from xalign.config.parts import TaskConfig
from xalign.evaluation.metrics import Metric
from xalign.evaluation.task import Part, Setting, Task

if TYPE_CHECKING:
    from xalign.evaluation.engine.scoring import Request

NATS = Metric(
    name="continuation_nats",
    label="Nats of a continuation",
    higher_is_better=False,
    harm="continues text in {language} worse",
)


class Continuation(Task):
    """Negative log-likelihood of each sentence after others, in nats a sentence; the pivot's too."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TaskConfig):
        shots: Annotated[int, Field(ge=0), Short("continuation_shots")] = 4
        """Sentences before each."""
        limit: Annotated[int | None, Field(gt=0), Short("continuation_limit")] = None
        """Sentences a language; null: all that the benchmark's `limit` leaves."""

    config: Config
    parallel_text = True

    def metrics(self) -> Sequence[Metric]:
        return [NATS]

    def parts(self, setting: Setting) -> list[Part]:
        from xalign.evaluation.engine.scoring import Request
        from xalign.evaluation.sets.likelihood import likelihood_part
        from xalign.evaluation.sets.sentences import distinct_texts

        parts = []
        for language, own in distinct_texts(setting, self.name).items():
            measured = own[: setting.benchmark.limit][: self.config.limit]
            shown = self._shown(setting, language, own)
            before, start = "\n".join(shown), "\n" if shown else ""
            requests = [Request(before, "", f"{start}{text}\n") for text in measured]
            key = {"texts": digest(measured), "shown": digest(shown)}
            # Running text, no question: it is never a chat's.
            parts.append(
                likelihood_part(self, NATS.name, language, key, partial(_plain, requests), measured, shown)
            )
        return parts

    def _shown(self, setting: Setting, language: str, measured: Sequence[str]) -> list[str]:
        """The sentences that stand before each of those measured, and are none of them."""
        from xalign.evaluation.engine.similarity import fold
        from xalign.evaluation.sets.parallel_prompts import drawn, text_to_show

        shots = self.config.shots
        if shots == 0:
            return []
        texts = dict.fromkeys(text_to_show(setting, shots, "benchmark.continuation_shots").texts(language))
        known = {fold(own) for own in measured}
        free = [own for own in texts if own is not None and fold(own) not in known]
        return drawn(free, shots, setting.rng(language), self.name, language)


def _plain(requests: "list[Request]", tokenizer: object) -> "list[Request]":
    return requests


TASK = Continuation
