"""Few-shot translation by generation, from the pivot into each language and back.

chrF++ (Popovic 2017) and BLEU (Papineni et al. 2002) of the whole set as sacrebleu works them out, 0 to
100, and bits per byte of the reference given the prompt, which says something of models that translate
too little for the other two.
"""

from collections.abc import Sequence
from functools import partial
from zlib import crc32

import numpy as np
from sacrebleu.metrics.base import Metric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from xalign.evaluation.generation import continue_greedily, require_room
from xalign.evaluation.parallel_prompts import answer, demonstration_lines, question, shown_before
from xalign.evaluation.results import Record, Result
from xalign.evaluation.scoring import Request, score
from xalign.evaluation.sentences import Pairs, digest, sentence_pairs
from xalign.evaluation.task import Measured, Part, Session, Setting, Task
from xalign.evaluation.tasks.bits_per_byte import ratio_of_sums
from xalign.languages import has_spaces
from xalign.progress import Advance

VERSION = "1"

RESAMPLES = 1000
"""Of the bootstrap over sentences behind the standard errors of BLEU and chrF++."""


def _parts(setting: Setting) -> list[Part]:
    parts = []
    for language, pairs in sentence_pairs(setting, "translation").items():
        rng = np.random.default_rng([setting.seed, crc32(language.encode())])
        shown = shown_before(setting, language, pairs, rng, "translation")
        parts += [
            _part(language, "into", language, pairs, shown),
            _part(language, "from", setting.pivot, _turned(pairs), _turned(shown)),
        ]
    return parts


def _turned(pairs: Pairs) -> Pairs:
    return [(y, x) for x, y in pairs]


def _part(language: str, direction: str, written: str, pairs: Pairs, shown: Pairs) -> Part:
    """One direction, `into` the language or `from` it; `written` is the language of the answers."""
    prefix = demonstration_lines(shown)
    key = {"direction": direction, "pairs": digest(pairs), "prefix": digest(prefix)}
    measure = partial(_measure, language, direction, written, prefix, len(shown), pairs)
    prompts = [prefix + question(source) for source, _ in pairs]
    check = partial(require_room, prompts=prompts)
    return Part("translation", language, key, 2 * len(pairs), measure, check=check)


def _measure(
    language: str,
    direction: str,
    written: str,
    prefix: str,
    shots: int,
    pairs: Pairs,
    session: Session,
    advance: Advance,
) -> Measured:
    benchmark = session.benchmark
    references = [target for _, target in pairs]
    hypotheses = continue_greedily(
        session.backbone,
        [prefix + question(source) for source, _ in pairs],
        [_limit(session, source) for source, _ in pairs],
        batch_tokens=benchmark.batch_tokens,
        journal=session.journal,
        advance=advance,
    )
    requests = [Request(prefix, question(source), answer(target)) for source, target in pairs]
    scores = score(
        session.backbone,
        requests,
        batch_tokens=benchmark.batch_tokens,
        journal=session.journal,
        advance=advance,
    )
    bits = np.array([-s.log_likelihood for s in scores]) / np.log(2)
    sizes = np.array([s.bytes for s in scores])

    chrf = CHRF(word_order=2)
    figures = {
        "chrf++": corpus_score(chrf, hypotheses, references),
        "bleu": corpus_score(BLEU(tokenize=bleu_tokenizer(written)), hypotheses, references),
        "reference_bits_per_byte": (*ratio_of_sums(bits, sizes), ""),
    }
    results = [
        Result(
            benchmark=benchmark.name,
            language=language,
            metric=f"{name}_{direction}",
            value=value,
            stderr=stderr,
            n=len(pairs),
            shots=shots,
            version=f"{VERSION} {signature}".strip(),
        )
        for name, (value, stderr, signature) in figures.items()
    ]
    records: list[Record] = [
        {
            "language": language,
            "direction": direction,
            "index": index,
            "metric": f"chrf++_{direction}",
            "chrf": CHRF(word_order=2).sentence_score(hypothesis, [reference]).score,
            "log_likelihood": own.log_likelihood,
            "hypothesis": hypothesis,
            "reference": reference,
        }
        for index, (hypothesis, reference, own) in enumerate(zip(hypotheses, references, scores, strict=True))
    ]
    return Measured(results, {f"{benchmark.name}.translation": records})


def corpus_score(
    metric: Metric, hypotheses: Sequence[str], references: Sequence[str]
) -> tuple[float, float | None, str]:
    """Score of the whole set, its standard error by the bootstrap (Koehn 2004), sacrebleu's signature."""
    value = metric.corpus_score(hypotheses, [references]).score
    stderr = None
    if len(hypotheses) > 1:
        # sacrebleu's own resampling stumbles over scores of zero (2.6.0: float and numpy.float32 mixed).
        counts_NC = np.array(metric._extract_corpus_statistics(hypotheses, [references]))
        rng = np.random.default_rng(0)
        drawn_RN = rng.integers(len(counts_NC), size=(RESAMPLES, len(counts_NC)))
        scores = [
            metric._compute_score_from_stats(counts_NC[own_N].sum(0).tolist()).score for own_N in drawn_RN
        ]
        stderr = float(np.std(scores))
    return float(value), stderr, str(metric.get_signature().format())


def bleu_tokenizer(language: str) -> str:
    """sacrebleu's `13a` for languages that put spaces between words, `zh` for Chinese, else `char`."""
    if has_spaces(language):
        return "13a"
    return "zh" if language.split("-")[0] == "zh" else "char"


def _limit(session: Session, source: str) -> int:
    """Most tokens of an answer. Where scripts are cut to bytes a translation has three times the tokens."""
    return 16 + 3 * len(session.backbone.tokenizer(source, add_special_tokens=False)["input_ids"])


TASK = Task(VERSION, parallel_text=True, parts=_parts)
