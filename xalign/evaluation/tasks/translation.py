"""Few-shot translation by generation, from the pivot into each language and back.

chrF++ (Popovic 2017) and BLEU (Papineni et al. 2002) of the whole set as sacrebleu works them out, 0 to
100, and bits per byte of the reference given the prompt, which says something of models that translate
too little for the other two.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from xalign.evaluation.metrics import BLEU, CHRF, REFERENCE_BITS, Metric, translated
from xalign.evaluation.task import Measured, Part, Setting, Task

if TYPE_CHECKING:
    from xalign.base.progress import Advance
    from xalign.evaluation.engine.session import Session
    from xalign.evaluation.sets.parallel_prompts import Direction


class Translation(Task):
    """Into each language and from it, `benchmark.shots` demonstrations before each sentence."""

    parallel_text = True

    def metrics(self) -> Sequence[Metric]:
        return [metric for own in (CHRF, BLEU, REFERENCE_BITS) for metric in translated(own)]

    def parts(self, setting: Setting) -> list[Part]:
        from xalign.evaluation.sets.parallel_prompts import directions

        shots = setting.benchmark.shots or 0
        return [self._part(way) for way in directions(setting, self.name, shots, "benchmark.shots")]

    def _part(self, way: "Direction") -> Part:
        texts, before = way.in_language(way.pairs), way.in_language(way.shown)
        measure = partial(self._measure, way)
        return Part(
            self.name, way.language, way.key, 2 * len(way.pairs), measure, texts, before, way.require_room
        )

    def _measure(self, way: "Direction", session: "Session", advance: "Advance") -> Measured:
        import numpy as np
        from sacrebleu.metrics import bleu, chrf

        from xalign.evaluation.engine.bits import ratio_of_sums
        from xalign.evaluation.engine.generation import continue_greedily
        from xalign.evaluation.engine.scoring import Request
        from xalign.evaluation.engine.translation_scores import bleu_tokenizer, corpus_score
        from xalign.evaluation.results import Result
        from xalign.evaluation.sets.likelihood import scored

        language, direction, pairs = way.language, way.name, way.pairs
        prompts = way.prompts(session.backbone.tokenizer)
        references = [target for _, target in pairs]
        hypotheses = continue_greedily(
            session.backbone,
            prompts,
            [_limit(session, source) for source, _ in pairs],
            batch_tokens=session.batch_tokens,
            journal=session.journal,
            advance=advance,
        )
        answers = [way.form.answer(target) for target in references]
        requests = [Request("", prompt, own) for prompt, own in zip(prompts, answers, strict=True)]
        scores = scored(session, requests, advance)
        bits = np.array([-s.log_likelihood for s in scores]) / np.log(2)
        sizes = np.array([s.bytes for s in scores])
        bleu_score = bleu.BLEU(tokenize=bleu_tokenizer(way.written))
        figures = {
            CHRF.name: corpus_score(chrf.CHRF(word_order=2), hypotheses, references),
            BLEU.name: corpus_score(bleu_score, hypotheses, references),
            REFERENCE_BITS.name: (*ratio_of_sums(bits, sizes), ""),
        }
        results = [
            Result(
                benchmark=session.name,
                language=language,
                metric=f"{name}_{direction}",
                value=value,
                stderr=stderr,
                n=len(pairs),
                shots=len(way.shown),
                version=f"{self.version} {signature}".strip(),
            )
            for name, (value, stderr, signature) in figures.items()
        ]
        records = [
            {
                "language": language,
                "direction": direction,
                "index": index,
                "metric": f"{CHRF.name}_{direction}",
                "chrf": chrf.CHRF(word_order=2).sentence_score(hypothesis, [reference]).score,
                "log_likelihood": own.log_likelihood,
                "hypothesis": hypothesis,
                "reference": reference,
            }
            for index, (hypothesis, reference, own) in enumerate(
                zip(hypotheses, references, scores, strict=True)
            )
        ]
        return Measured(results, {f"{session.name}.{self.name}": records})


def _limit(session: "Session", source: str) -> int:
    """Most tokens of an answer. Where scripts are cut to bytes a translation has three times the tokens."""
    return 16 + 3 * len(session.backbone.tokenizer(source, add_special_tokens=False)["input_ids"])


TASK = Translation
