"""Few-shot log-likelihood of references: against the plain sum over tokens, both ways."""

import pytest
import torch
from tiny import tiny_backbone

from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.evaluate import evaluate
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of
from xalign.options.composed import benchmark_of

PAIRS = [(f"The dog number {i} sleeps", f"Der Hund Nummer {i} schläft{'!' * (i % 3)}") for i in range(6)]
SHOWN = [(f"A cat {i}", f"Eine Katze {i}") for i in range(5)]


def corpus_of(pairs: list[tuple[str, str]]) -> ParallelCorpus:
    return ParallelCorpus.from_rows([Row("made", {"en": x, "de": y}) for x, y in pairs], "made")


def setting_of(**options: object) -> Setting:
    benchmark = benchmark_of(name="use", tasks=["translation_likelihood"], **options)
    return Setting(benchmark, corpus_of(PAIRS), corpus_of(SHOWN), "en", ["de"], aligned_layer=1, seed=0)


@pytest.mark.parametrize("shots", [0, 2])
def test_nats_are_those_of_the_tokens_after_the_prompt(shots: int) -> None:
    backbone = tiny_backbone("llama")
    setting = setting_of(likelihood_shots=shots)
    measured = evaluate(backbone, setting, model="tiny", dtype=torch.float32).evaluation
    rows = {row.metric: row for row in measured.results if row.language == "de"}
    assert rows.keys() == {"reference_nats_into", "reference_nats_from"}
    into, back = tasks_of(setting.benchmark)["translation_likelihood"].parts(setting)
    for name, part, side in (("reference_nats_into", into, 1), ("reference_nats_from", back, 0)):
        shown = [pair for pair in SHOWN if pair[1] in part.shown]
        assert len(shown) == shots == rows[name].shots
        order = [SHOWN[[y for _, y in SHOWN].index(text)] for text in part.shown]
        prefix = "".join(f"{pair[1 - side]} = {pair[side]}\n" for pair in order)
        nats = []
        for pair in PAIRS:
            context, answer = f"{prefix}{pair[1 - side]} =", f" {pair[side]}\n"
            ids = torch.tensor(backbone.tokenizer(context + answer)["input_ids"])
            first = len(backbone.tokenizer(context)["input_ids"])
            with torch.no_grad():
                scores = backbone.model(ids[None]).logits[0].log_softmax(-1)
            nats.append(-sum(float(scores[i - 1, ids[i]]) for i in range(first, len(ids))))
        records = [r for own in measured.items.values() for r in own if name in r["metrics"]]
        assert [r["metrics"][name] for r in records] == pytest.approx(nats, rel=1e-4)
        assert rows[name].value == pytest.approx(sum(nats) / len(nats), rel=1e-4)
        assert part.texts == [y for _, y in PAIRS]


def test_less_is_better_and_the_limit_is_its_own() -> None:
    setting = setting_of(likelihood_limit=4)
    task = tasks_of(setting.benchmark)["translation_likelihood"]
    assert [metric.higher_is_better for metric in task.metrics()] == [False, False]
    assert [part.size for part in task.parts(setting)] == [4, 4]
    keys = [dict(part.key) for part in task.parts(setting)]
    assert keys[0] != keys[1]
    assert keys[0] != dict(
        tasks_of(setting_of().benchmark)["translation_likelihood"].parts(setting_of())[0].key
    )
