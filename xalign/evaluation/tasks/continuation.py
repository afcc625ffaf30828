"""Few-shot continuation: how well a model goes on with text of one language after some sentences of it.

Nats of a sentence on a line of its own, its line breaks included, after others in the same language. Bits
per byte sees a sentence alone; what is lost of reading a longer context shows here.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated
from zlib import crc32

from pydantic import Field

from xalign.base.errors import DataError
from xalign.base.files import digest
from xalign.base.registry import Short
from xalign.config.parts import TaskConfig
from xalign.evaluation.metrics import Metric
from xalign.evaluation.task import Measured, Part, Setting, Task

if TYPE_CHECKING:
    from xalign.base.progress import Advance
    from xalign.evaluation.engine.scoring import Request
    from xalign.evaluation.engine.session import Session
    from xalign.models.backbone import Backbone

log = logging.getLogger(__name__)

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
        from xalign.evaluation.sets.sentences import require_corpus

        corpus = require_corpus(setting, self.name)
        parts = []
        for language in dict.fromkeys([setting.pivot, *setting.languages]):
            own = list(dict.fromkeys(text for text in corpus.texts(language) if text is not None))
            measured = own[: setting.benchmark.limit][: self.config.limit]
            if not measured:
                log.warning("%s: no text in %s: no continuation", setting.benchmark.name, language)
                continue
            shown = self._shown(setting, language, own)
            key = {"texts": digest(measured), "shown": digest(shown)}
            measure = partial(self._measure, measured, shown, language)
            check = partial(_check, measured, shown)
            size = len(measured)
            parts.append(Part(self.name, language, key, size, measure, measured, shown, check))
        return parts

    def _shown(self, setting: Setting, language: str, measured: Sequence[str]) -> list[str]:
        """The sentences that stand before each of those measured, and are none of them."""
        import numpy as np

        from xalign.evaluation.engine.similarity import fold

        text, shots = setting.demonstrations, self.config.shots
        if shots == 0:
            return []
        if text is None:
            raise DataError(
                f"benchmark.continuation_shots={shots}: '{setting.benchmark.name}' has no text to show apart "
                "from what it measures; set benchmark.continuation_shots=0"
            )
        known = {fold(own) for own in measured}
        free = [
            own for own in dict.fromkeys(text.texts(language)) if own is not None and fold(own) not in known
        ]
        if len(free) < shots:
            log.warning("%s: only %d sentences in %s stand before each", self.name, len(free), language)
        rng = np.random.default_rng([setting.seed, crc32(language.encode())])
        return [free[k] for k in rng.choice(len(free), min(shots, len(free)), replace=False)] if free else []

    def _measure(
        self,
        measured: Sequence[str],
        shown: Sequence[str],
        language: str,
        session: "Session",
        advance: "Advance",
    ) -> Measured:
        from xalign.evaluation.engine.scoring import score

        scores = score(
            session.backbone,
            _requests(measured, shown),
            batch_tokens=session.batch_tokens,
            journal=session.journal,
            advance=advance,
        )
        nats = [-own.log_likelihood for own in scores]
        return self.measured(session, NATS.name, language, nats, len(shown))


def _requests(measured: Sequence[str], shown: Sequence[str]) -> "list[Request]":
    from xalign.evaluation.engine.scoring import Request

    before, start = "\n".join(shown), "\n" if shown else ""
    return [Request(before, "", f"{start}{text}\n") for text in measured]


def _check(measured: Sequence[str], shown: Sequence[str], backbone: "Backbone") -> None:
    from xalign.evaluation.engine.scoring import require_room

    require_room(backbone, _requests(measured, shown))


TASK = Continuation
