import logging
import math
from collections.abc import Callable

import numpy as np
import pytest
from tiny import tiny_backbone

from xalign.base.errors import DataError
from xalign.evaluation.engine.multiple_choice import Questions, answer, calibration_error, question_part
from xalign.evaluation.engine.scoring import Request, score
from xalign.evaluation.engine.session import Session
from xalign.evaluation.items import Item
from xalign.evaluation.prompts import Shown
from xalign.evaluation.results import Record, Result
from xalign.evaluation.task import Measured

ITEMS = [
    Item(0, ("q0 =", "q0 ="), (" a", " a very much longer one"), 0),
    Item(1, ("q1 =", "q1 ="), (" ญb", " bcde"), 1),
    Item(4, ("Ann", "Barbara"), (" left.", " left."), 1),
    Item(5, ("", ""), (" yes, x", " no, x"), 0),
]


def ask(items: list[Item], family: str = "llama", **options: object) -> Measured:
    session = Session(tiny_backbone(family), "set", 64)
    values = {"name": "set", "task": "t", "version": "7", "language": "de", **options}
    return answer(Questions(items=items, **values), session, lambda count: None)  # type: ignore[arg-type]


def table(rows: list[Result]) -> dict[str, Result]:
    return {row.metric: row for row in rows}


def test_records_follow_from_the_log_likelihoods() -> None:
    demonstrations = (Shown("x =", "y"), Shown("u =", "v"))
    records = ask(ITEMS, demonstrations=demonstrations, shots=2).items["set.t"]
    for item, record in zip(ITEMS, records, strict=True):
        requests = [
            Request("x = y\n\nu = v\n\n", a, b)
            for a, b in zip(item.contexts, item.continuations, strict=True)
        ]
        first, second = (s.log_likelihood for s in score(tiny_backbone("llama"), requests, batch_tokens=64))
        texts = [text[1:] for text in item.continuations]
        assert record["log_likelihoods"] == pytest.approx([first, second], abs=1e-4)
        assert record["prediction"] == int(second > first)
        assert record["prediction_norm"] == int(second / len(texts[1]) > first / len(texts[0]))
        assert record["prediction_bytes"] == int(
            second / len(texts[1].encode()) > first / len(texts[0].encode())
        )
        assert record["margin"] == pytest.approx(abs(first - second), abs=1e-4)
        assert (record["language"], record["index"], record["gold"]) == ("de", item.index, item.gold)
    assert records[1]["characters"] == [2, 4]
    assert records[1]["bytes"] == [4, 4]
    # A longer text is less likely in sum: the first two are not always one.
    assert records[0]["prediction"] == 0


def test_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = iter([-1.0, -2.0, -3.0, -3.0004, -1.0, -1.5, -9.0, -2.0])

    def fake(backbone: object, requests: list[Request], **options: object) -> list[object]:
        return [type("S", (), {"log_likelihood": next(sums)}) for _ in requests]

    monkeypatch.setattr("xalign.evaluation.engine.multiple_choice.score", fake)
    measured = ask(ITEMS, shots=3)
    rows = table(measured.results)
    # Predictions 0 0 0 1 against gold 0 1 1 0.
    accuracy = rows["accuracy"]
    assert (accuracy.value, accuracy.n, accuracy.shots, accuracy.version) == (0.25, 4, 3, "7")
    assert accuracy.stderr == pytest.approx(np.std([1, 0, 0, 0], ddof=1) / 2)
    assert (accuracy.benchmark, accuracy.language, accuracy.layer) == ("set", "de", None)
    assert (rows["near_ties"].value, rows["near_ties"].stderr) == (1.0, None)
    assert set(rows) == {
        *("accuracy", "accuracy_norm", "accuracy_bytes"),
        *("calibration_error", "near_ties"),
    }
    by_hand = calibration_error([r["log_likelihoods"] for r in measured.items["set.t"]], [0, 1, 1, 0])
    assert rows["calibration_error"].value == by_hand


def naive_calibration(confidences: list[float], right: list[bool]) -> float:
    error = 0.0
    for m in range(10):
        inside = [k for k, c in enumerate(confidences) if m / 10 < c <= (m + 1) / 10]
        if inside:
            accuracy = sum(right[k] for k in inside) / len(inside)
            confidence = sum(confidences[k] for k in inside) / len(inside)
            error += len(inside) / len(confidences) * abs(accuracy - confidence)
    return error


def test_calibration_error_by_hand_and_by_double_loop() -> None:
    # Confidence 0.8 and right, 0.8 and wrong, one bin: |0.5 - 0.8|.
    values = [math.log(0.8), math.log(0.2)]
    assert calibration_error([values, values], [0, 1]) == pytest.approx(0.3)
    # An upper edge belongs to its bin: 0.5 and wrong stands with 0.45 and right.
    edge = [[0.0, 0.0, -99.0], [math.log(0.45), math.log(0.3), math.log(0.25)]]
    assert calibration_error(edge, [1, 0]) == pytest.approx(0.025)
    rng = np.random.default_rng(0)
    sums, gold = rng.normal(0, 2, (500, 3)), rng.integers(0, 3, 500)
    shares = np.exp(sums) / np.exp(sums).sum(1, keepdims=True)
    wanted = naive_calibration(shares.max(1).tolist(), (sums.argmax(1) == gold).tolist())
    assert calibration_error(sums.tolist(), gold.tolist()) == pytest.approx(wanted)
    # Sums of hundreds of nats do not overflow.
    assert calibration_error([[-900.0, -950.0]], [0]) == pytest.approx(0.0)


def test_equal_log_likelihoods_are_near_ties_won_by_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    even: Callable[..., list[object]] = lambda backbone, requests, **options: [  # noqa: E731
        type("S", (), {"log_likelihood": -1.0}) for _ in requests
    ]
    monkeypatch.setattr("xalign.evaluation.engine.multiple_choice.score", even)
    measured = ask(ITEMS)
    records: list[Record] = measured.items["set.t"]
    assert [r["prediction"] for r in records] == [0, 0, 0, 0]
    assert table(measured.results)["near_ties"].value == 4


def test_demonstrations_are_dropped_from_the_front_where_the_context_is_short(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # 128 positions, a token a byte, one special token; the last token is only predicted.
    demonstrations = [Shown("a" * 38, "a"), Shown("b" * 38, "b")]
    short = Item(0, ("q =", "q ="), (" 1", " 2"), 0)
    exact = Item(1, ("q" * 42, "q" * 42), (" 1", " 2"), 0)
    longer = Item(2, ("q" * 43, "q" * 43), (" 1", " 2"), 0)
    longest = Item(3, ("q" * 110, "q" * 110), (" 1", " 2"), 0)
    with caplog.at_level(logging.WARNING):
        records = ask([short, exact, longer, longest], demonstrations=demonstrations, shots=2).items["set.t"]
    for item, kept in ((short, 2), (exact, 2), (longer, 1), (longest, 0)):
        prefix = "".join(shown.text for shown in demonstrations[2 - kept :])
        requests = [Request(prefix, a, b) for a, b in zip(item.contexts, item.continuations, strict=True)]
        alone = [s.log_likelihood for s in score(tiny_backbone("llama"), requests, batch_tokens=64)]
        assert records[item.index]["log_likelihoods"] == pytest.approx(alone, abs=1e-4)
    warnings = [r.message for r in caplog.records if "left out" in r.message]
    assert len(warnings) == 1
    assert "before 2 of 4 items: up to 2" in warnings[0]


def test_a_candidate_longer_than_the_context_is_one_message() -> None:
    item = Item(17, ("q" * 140, "q" * 140), (" 1", " 2"), 0)
    with pytest.raises(DataError, match=r"t, de, item 17: a candidate alone exceeds .* 128 tokens, .*: 'qqq"):
        ask([item], demonstrations=[Shown("", "a")])


def test_a_part_knows_its_size_and_its_key_holds_every_text() -> None:
    def part(**changes: object) -> dict[str, object]:
        values = {"name": "set", "task": "t", "version": "1", "language": "de", "items": ITEMS}
        return dict(question_part(Questions(**{**values, **changes})).key)  # type: ignore[arg-type]

    one = question_part(Questions("set", "t", "1", "de", ITEMS))
    assert (one.task, one.language, one.size) == ("t", "de", 8)
    other = [*ITEMS[:3], Item(5, ("", ""), (" yes, y", " no, x"), 0)]
    turned = [*ITEMS[:3], Item(5, ("", ""), (" yes, x", " no, x"), 1)]
    keys = [
        part(),
        part(items=other),
        part(items=turned),
        part(demonstrations=[Shown("", "a")]),
        part(shots=1),
    ]
    assert len({str(key) for key in keys}) == 5
    assert part() == part()


def test_alike_candidates_are_refused() -> None:
    alike = Item(3, ("a b", "a"), (" c", " b c"), 0)
    with pytest.raises(DataError, match="t, de, item 3: alike candidates"):
        question_part(Questions("set", "t", "1", "de", [alike]))
