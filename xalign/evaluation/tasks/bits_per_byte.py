"""Bits per byte: how well a model predicts held-out text, comparable between tokenizers.

Total negative log2-likelihood of the text's tokens, each text after a beginning-of-sequence token alone,
over the text's UTF-8 bytes. Lower is better.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.files import digest
from xalign.base.registry import Short
from xalign.config.parts import TaskConfig
from xalign.evaluation.metrics import BITS_PER_BYTE, Metric
from xalign.evaluation.task import Measured, Part, Setting, Task

if TYPE_CHECKING:
    from xalign.base.progress import Advance
    from xalign.evaluation.engine.session import Session


class BitsPerByte(Task):
    """The pivot and every language, each over its own text."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TaskConfig):
        limit: Annotated[int | None, Field(gt=0), Short("bits_limit")] = None
        """Sentences a language; null: all that the benchmark's `limit` leaves."""

    config: Config
    parallel_text = True

    def metrics(self) -> Sequence[Metric]:
        return [BITS_PER_BYTE]

    def parts(self, setting: Setting) -> list[Part]:
        from xalign.evaluation.sets.sentences import distinct_texts

        parts = []
        for language, own in distinct_texts(setting, self.name).items():
            texts = own[: setting.benchmark.limit][: self.config.limit]
            measure = partial(self._measure, language, texts)
            parts.append(Part(self.name, language, {"texts": digest(texts)}, len(texts), measure, texts))
        return parts

    def _measure(
        self, language: str, texts: Sequence[str], session: "Session", advance: "Advance"
    ) -> Measured:
        import numpy as np

        from xalign.evaluation.engine.bits import ratio_of_sums, text_bits
        from xalign.evaluation.results import Result

        bits = text_bits(session.backbone, texts, batch_tokens=session.batch_tokens, advance=advance)
        sizes = np.array([len(text.encode()) for text in texts])
        value, stderr = ratio_of_sums(bits, sizes)
        row = Result(
            benchmark=session.name,
            language=language,
            metric=BITS_PER_BYTE.name,
            value=value,
            stderr=stderr,
            n=len(texts),
            version=self.version,
        )
        records = [
            {"language": language, "index": i, "bits": float(b), "bytes": int(size)}
            for i, (b, size) in enumerate(zip(bits, sizes, strict=True))
        ]
        return Measured([row], {f"{session.name}.{self.name}": records})


TASK = BitsPerByte
