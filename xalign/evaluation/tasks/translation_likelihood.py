"""Few-shot log-likelihood of reference translations: how well a model would write them, without generating.

What a user asks of a model is that it goes on in the right language with the right words. The nats of a
reference after a few demonstrations say so item by item, at the cost of one pass, where chrF needs hundreds
of generated sentences to see the same (experiments/harmless).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated
from zlib import crc32

from pydantic import Field

from xalign.base.files import digest
from xalign.base.registry import Short
from xalign.config.parts import TaskConfig
from xalign.evaluation.metrics import Metric, translated
from xalign.evaluation.task import Measured, Part, Setting, Task

if TYPE_CHECKING:
    from xalign.base.progress import Advance
    from xalign.evaluation.engine.session import Session
    from xalign.evaluation.sets.sentences import Pairs

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
        import numpy as np

        from xalign.evaluation.sets.parallel_prompts import shown_before, turned
        from xalign.evaluation.sets.sentences import sentence_pairs

        # Demonstrations are chosen as for translation by generation, but for their number.
        setting = replace(setting, benchmark=replace(setting.benchmark, shots=self.config.shots))
        parts = []
        for language, pairs in sentence_pairs(setting, self.name).items():
            rng = np.random.default_rng([setting.seed, crc32(language.encode())])
            shown = shown_before(setting, language, pairs, rng, self.name)
            own = pairs[: self.config.limit]
            parts.append(self._part(language, "into", own, shown))
            parts.append(self._part(language, "from", turned(own), turned(shown)))
        return parts

    def _part(self, language: str, direction: str, pairs: "Pairs", shown: "Pairs") -> Part:
        from xalign.evaluation.sets.parallel_prompts import demonstration_lines

        side = 1 if direction == "into" else 0  # of the language itself
        texts, before = ([pair[side] for pair in own] for own in (pairs, shown))
        prefix = demonstration_lines(shown)
        key = {"direction": direction, "pairs": digest(pairs), "prefix": digest(prefix)}
        measure = partial(self._measure, language, direction, prefix, len(shown), pairs)
        return Part(self.name, language, key, len(pairs), measure, texts, before)

    def _measure(
        self,
        language: str,
        direction: str,
        prefix: str,
        shots: int,
        pairs: "Pairs",
        session: "Session",
        advance: "Advance",
    ) -> Measured:
        import numpy as np

        from xalign.evaluation.engine.scoring import Request, score
        from xalign.evaluation.results import Result
        from xalign.evaluation.sets.parallel_prompts import answer, question

        scores = score(
            session.backbone,
            # The end of the line belongs to it: a model that would go on has not translated yet.
            [Request(prefix, question(source), answer(target) + "\n") for source, target in pairs],
            batch_tokens=session.batch_tokens,
            journal=session.journal,
            advance=advance,
        )
        nats_N = np.array([-own.log_likelihood for own in scores])
        metric = f"{NATS.name}_{direction}"
        row = Result(
            benchmark=session.name,
            language=language,
            metric=metric,
            value=float(nats_N.mean()),
            stderr=float(nats_N.std(ddof=1) / np.sqrt(len(nats_N))) if len(nats_N) > 1 else None,
            n=len(nats_N),
            shots=shots,
            version=self.version,
        )
        records = [
            {"language": language, "index": index, "metrics": {metric: float(value)}}
            for index, value in enumerate(nats_N)
        ]
        return Measured([row], {f"{session.name}.{self.name}": records})


TASK = TranslationLikelihood
