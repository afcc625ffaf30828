import pytest
from tiny import tiny_backbone

from xalign.errors import DataError
from xalign.evaluation.scoring import Request, score
from xalign.evaluation.tasks.multiple_choice import Choice, answer


def test_rows_and_records_follow_from_the_log_likelihoods() -> None:
    backbone = tiny_backbone("llama")
    texts = [(" a", " a very much longer one"), (" bb", " b"), (" c", " ddd"), (" e", " f")]
    choices = [Choice("de", i, "x = y\n", f"q{i} =", pair, i % 2, 1) for i, pair in enumerate(texts[:3])]
    choices.append(Choice("fr", 0, "", "q =", texts[3], 1))
    rows, records = answer(backbone, choices, "set", "task", batch_tokens=64, version="7")

    requests = [Request(c.prefix, c.context, t) for c in choices for t in c.candidates]
    sums = [s.log_likelihood for s in score(backbone, requests, batch_tokens=64)]
    assert [x for r in records for x in r["log_likelihoods"]] == pytest.approx(sums, abs=1e-4)
    for c, record in zip(choices, records, strict=True):
        first, second = record["log_likelihoods"]
        assert record["prediction"] == int(second > first)
        sizes = [len(t.encode()) for t in c.candidates]
        assert record["prediction_norm"] == int(second / sizes[1] > first / sizes[0])
        assert (record["language"], record["index"], record["gold"]) == (c.language, c.index, c.gold)
    # A longer text is less likely in sum, not per byte: the two predictions are not one.
    assert records[0]["prediction"] == 0
    table = {(r.language, r.metric): r for r in rows}
    right = [r["prediction"] == r["gold"] for r in records if r["language"] == "de"]
    de = table["de", "accuracy"]
    assert (de.value, de.n, de.shots, de.version, de.layer) == (
        pytest.approx(sum(right) / 3),
        3,
        1,
        "7",
        None,
    )
    assert (table["fr", "accuracy_norm"].shots, table["fr", "accuracy"].stderr) == (0, None)


def test_identical_candidates_are_refused() -> None:
    """Defect 1 of the published code: prompts without the choice in them."""
    choices = [Choice("sw", 4, "", "premise, question?", (" yes", " yes", " no"), 0)]
    with pytest.raises(DataError, match="xnli, sw, item 4: alike candidates"):
        answer(tiny_backbone("llama"), choices, "xnli", "task", batch_tokens=64, version="1")
