"""Few-shot continuation: against the plain sum over tokens, the pivot included."""

import pytest
import torch
from tiny import tiny_backbone

from xalign.base.errors import DataError
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.evaluate import evaluate
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of
from xalign.options.composed import benchmark_of

PAIRS = [(f"The dog number {i} sleeps", f"Der Hund Nummer {i} schläft{'!' * (i % 3)}") for i in range(6)]
SHOWN = [(f"A cat {i}", f"Eine Katze {i}") for i in range(5)] + [PAIRS[0]]


def corpus_of(pairs: list[tuple[str, str]]) -> ParallelCorpus:
    return ParallelCorpus.from_rows([Row("made", {"en": x, "de": y}) for x, y in pairs], "made")


def setting_of(shown: bool = True, **options: object) -> Setting:
    benchmark = benchmark_of(name="use", tasks=["continuation"], **options)
    demonstrations = corpus_of(SHOWN) if shown else None
    return Setting(benchmark, corpus_of(PAIRS), demonstrations, "en", ["de"], aligned_layer=1, seed=0)


@pytest.mark.parametrize("shots", [0, 3])
def test_nats_are_those_of_the_line_after_the_others(shots: int) -> None:
    backbone = tiny_backbone("llama")
    setting = setting_of(continuation_shots=shots)
    measured = evaluate(backbone, setting, model="tiny", dtype=torch.float32).evaluation
    parts = {p.language: p for p in tasks_of(setting.benchmark)["continuation"].parts(setting)}
    assert parts.keys() == {"en", "de"}
    for side, language in enumerate(("en", "de")):
        (row,) = (r for r in measured.results if r.language == language)
        assert (row.metric, row.shots) == ("continuation_nats", shots)
        part = parts[language]
        assert len(part.shown) == shots
        assert not set(part.shown) & {pair[side] for pair in PAIRS}
        context = "\n".join(part.shown)
        nats, start = [], "\n" if shots else ""
        for pair in PAIRS:
            ids = torch.tensor(backbone.tokenizer(f"{context}{start}{pair[side]}\n")["input_ids"])
            first = len(backbone.tokenizer(context)["input_ids"])
            with torch.no_grad():
                scores = backbone.model(ids[None]).logits[0].log_softmax(-1)
            nats.append(-sum(float(scores[i - 1, ids[i]]) for i in range(first, len(ids))))
        assert row.value == pytest.approx(sum(nats) / len(nats), rel=1e-4)


def test_the_limit_is_its_own() -> None:
    setting = setting_of(continuation_limit=2)
    assert [p.size for p in tasks_of(setting.benchmark)["continuation"].parts(setting)] == [2, 2]


def test_without_text_to_show_the_message_names_the_key() -> None:
    setting = setting_of(shown=False)
    with pytest.raises(DataError, match=r"benchmark\.continuation_shots=4"):
        tasks_of(setting.benchmark)["continuation"].parts(setting)
