import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from xalign.base.errors import DataError
from xalign.evaluation.item_scores import errors_of_means
from xalign.evaluation.metrics import KNOWN, Shown
from xalign.evaluation.paired_tests import holm
from xalign.evaluation.results import Evaluation, Record, Result, standard_error
from xalign.evaluation.statistics import (
    Comparison,
    compare,
    compare_models,
    write_comparisons,
)


def retrieval(language: str, forward: np.ndarray, metric: str = "retrieval@1") -> list[Record]:
    return [
        {"language": language, "index": i, "metric": metric, "forward": f.tolist(), "backward": f.tolist()}
        for i, f in enumerate(forward)
    ]


def answers(language: str, right: list[bool]) -> list[Record]:
    return [
        {"language": language, "index": i, "gold": 1, "prediction": int(r), "prediction_norm": 1}
        for i, r in enumerate(right)
    ]


def evaluation(items: dict[str, list[Record]], *stated: str) -> Evaluation:
    """An evaluation whose report also states some metrics that are hidden otherwise."""
    metrics = [replace(KNOWN[name], shown=Shown.table) for name in stated]
    return Evaluation("m", [], items, {task.rsplit(".", 1)[0]: metrics for task in items})


def by_language(rows: list[Comparison], metric: str, layer: int | None = None) -> dict[str, Comparison]:
    return {r.language: r for r in rows if (r.metric, r.layer) == (metric, layer)}


def test_accuracy_rows_use_mcnemar_and_holm_over_languages_and_metrics() -> None:
    old = {"de": [False] * 10 + [True] * 20, "fr": [False, True] * 10, "sw": [True] * 5 + [False] * 15}
    new = {
        "de": [True] * 9 + [False] * 3 + [True] * 18,
        "fr": [False, True] * 10,
        "sw": [True] * 8 + [False] * 12,
    }
    rows = compare(
        evaluation(
            {"my.set.xcopa": [r for lang, v in old.items() for r in answers(lang, v)]}, "accuracy_norm"
        ),
        evaluation({"my.set.xcopa": [r for lang, v in new.items() for r in answers(lang, v)]}),
        aligned_layer=0,
        seed=0,
    )
    got = by_language(rows, "accuracy")
    assert list(got) == ["de", "fr", "sw", "mean"]
    assert {r.benchmark for r in rows} == {"my.set"}
    p = {"de": binomtest(9, 11).pvalue, "fr": 1.0, "sw": binomtest(3, 3).pvalue}
    assert {k: got[k].p_value for k in p} == pytest.approx(p)
    # Beside `accuracy` there is `accuracy_norm`, in three languages too.
    assert got["de"].p_adjusted == pytest.approx(6 * p["de"])
    limit = 1 - 0.025 ** (1 / 20)
    assert (got["fr"].low, got["fr"].high, got["fr"].difference) == pytest.approx((-limit, limit, 0))
    assert got["de"].difference == pytest.approx(7 / 30)
    assert got["mean"].difference == pytest.approx((7 / 30 + 0 + 3 / 20) / 3)
    assert got["mean"].n == 70


def test_layers_compared_and_figures_over_all_layers() -> None:
    old = {"de": np.tile([0, 1, 0], (20, 1)), "fr": np.tile([0, 0, 1], (20, 1))}
    old["fr"][:8, 1] = 1
    old["fr"][:12, 2] = 0
    new = {lang: np.ones((20, 3), int) for lang in old}
    rows = compare(
        evaluation({"t.retrieval": [r for lang in old for r in retrieval(lang, old[lang])]}),
        evaluation({"t.retrieval": [r for lang in old for r in retrieval(lang, new[lang])]}),
        aligned_layer=2,
        seed=0,
    )
    # Means before: 0, 0.7, 0.2. Aligned is 2, best of the mean is 1; each language's own best is 1 and 0.4.
    assert dict.fromkeys((r.metric, r.layer) for r in rows) == dict.fromkeys(
        [("retrieval@1", 2), ("retrieval@1", 1), ("retrieval@1_best", None)]
    )
    best = by_language(rows, "retrieval@1_best")
    assert [best[lang].before for lang in ("de", "fr", "mean")] == pytest.approx([1.0, 0.4, 0.7])
    assert [best[lang].after for lang in ("de", "fr", "mean")] == [1.0, 1.0, 1.0]
    assert by_language(rows, "retrieval@1", 2)["mean"].before == pytest.approx(0.2)


def test_mexa_has_maximum_and_mean_over_layers() -> None:
    def hits(values: list[list[int]]) -> Evaluation:
        records = [
            {"language": "de", "index": i, "metric": "mexa_centred_last", "hits": v}
            for i, v in enumerate(values)
        ]
        return evaluation({"t.mexa": records})

    rows = compare(hits([[0, 1], [0, 0]]), hits([[1, 1], [0, 1]]), aligned_layer=1, seed=0)
    figures = {(r.metric, r.layer): (r.before, r.after) for r in rows if r.language == "de"}
    assert figures == {
        ("mexa_centred_last", 1): (0.5, 1.0),
        ("mexa_max_centred_last", None): (0.5, 1.0),
        ("mexa_mean_centred_last", None): (0.25, 0.75),
    }


def test_every_prediction_is_an_accuracy_and_whole_set_figures_are_not_compared() -> None:
    def answered(right: list[bool]) -> Evaluation:
        records = answers("de", right)
        for record in records:
            record |= {"prediction_bytes": 0, "margin": 0.5, "log_likelihoods": [-1.0, -2.0]}
        rows = [
            Result(benchmark="xnli", language="de", metric=metric, value=0.5, n=4)
            for metric in ("accuracy", "calibration_error", "near_ties")
        ]
        return Evaluation("m", rows, {"xnli.xnli": records})

    rows = compare(answered([True, False, False, False]), answered([True, True, True, False]), 0, 0)
    figures = {r.metric: (r.before, r.after) for r in rows if r.language == "de"}
    assert figures == {"accuracy": (0.25, 0.75), "accuracy_norm": (1.0, 1.0), "accuracy_bytes": (0.0, 0.0)}


def test_chrf_is_compared_by_its_mean_over_sentences_a_direction_at_a_time() -> None:
    def translated(into: list[float], back: list[float]) -> Evaluation:
        records = [
            {"language": "de", "index": i, "direction": d, "metric": f"chrf++_{d}", "chrf": value}
            for d, values in (("into", into), ("from", back))
            for i, value in enumerate(values)
        ]
        return evaluation({"t.translation": records})

    better = [20.0 + i for i in range(12)]
    rows = compare(translated([10.0 + i for i in range(12)], better), translated(better, better), 0, 0)
    into, back = (by_language(rows, f"chrf++_{d}")["de"] for d in ("into", "from"))
    assert (into.before, into.after, into.low, into.high, into.n) == pytest.approx((15.5, 25.5, 10, 10, 12))
    assert into.p_value < 0.01
    assert (back.difference, back.p_value) == (0, 1)


def test_figures_of_guest_tasks_are_compared_item_by_item() -> None:
    def answered(values: list[float]) -> Evaluation:
        records = [
            {"language": "und", "index": i, "metrics": {"exact_match": value, "f1_strict": 1 - value}}
            for i, value in enumerate(values)
        ]
        # One with a gold among items that have several right answers.
        single = {"language": "und", "index": len(values), "gold": 0, "prediction": 0}
        return evaluation({"t.lm_eval": [*records, single]})

    rows = compare(answered([0.0] * 10 + [1.0] * 2), answered([1.0] * 12), 0, 0)
    own = {r.metric: r for r in rows if r.language == "und"}
    match = own["exact_match"]
    assert (match.before, match.after, match.n) == (pytest.approx(2 / 12), 1.0, 12)
    assert match.p_value < 0.01
    assert own["f1_strict"].difference == pytest.approx(-10 / 12)
    assert (own["accuracy"].n, own["accuracy"].p_value) == (1, 1)


def test_records_of_an_unknown_kind_are_left_out_aloud(caplog: pytest.LogCaptureFixture) -> None:
    strange = evaluation({"t.new": [{"language": "de", "index": 0, "something": 1}]})
    assert compare(strange, strange, 0, 0) == []
    assert "t.new: some of its records have none of" in caplog.text


def test_models_of_other_depth_are_compared_at_their_own_best_layers() -> None:
    shallow = {"de": np.tile([0, 1], (20, 1)), "fr": np.tile([0, 0], (20, 1))}
    deep = {"de": np.tile([1, 0, 0], (20, 1)), "fr": np.tile([1, 0, 1], (20, 1))}
    (rows,) = compare_models(
        [
            evaluation({"t.retrieval": [r for k, v in own.items() for r in retrieval(k, v)]})
            for own in (shallow, deep)
        ],
        seed=0,
    )
    got = by_language(rows, "retrieval@1")
    assert len(rows) == len(got) == 3
    assert {k: (r.before, r.after) for k, r in got.items()} == {
        "de": (1.0, 1.0), "fr": (0.0, 1.0), "mean": (0.5, 1.0),
    }  # fmt: skip
    assert got["fr"].p_adjusted < 0.01
    assert got["de"].p_adjusted == 1


def test_gains_that_languages_share_do_not_make_the_mean_look_surer() -> None:
    """The same items in four languages say no more than in one; other items say more."""
    rng = np.random.default_rng(4)
    old, new = rng.integers(0, 2, (2, 400, 1))

    def of(values: np.ndarray, shifts: list[int]) -> Evaluation:
        """Languages that have 80 items each, from number `shift` on."""
        records = [
            record | {"index": record["index"] + shift}
            for k, shift in enumerate(shifts)
            for record in retrieval(f"l{k}", values[shift : shift + 80])
        ]
        return evaluation({"t.retrieval": records})

    def mean(shifts: list[int]) -> Comparison:
        return by_language(compare(of(old, shifts), of(new, shifts), 0, 0), "retrieval@1", 0)["mean"]

    one, same, others = mean([0]), mean([0] * 4), mean([0, 100, 200, 300])
    assert (same.low, same.high, same.p_value) == pytest.approx((one.low, one.high, one.p_value))
    assert (others.high - others.low) / (one.high - one.low) == pytest.approx(0.5, abs=0.08)
    # Half of the items shared: a variance of (1 + 1 + 2 / 2) / 4 of one language's.
    half = mean([0, 40])
    assert (half.high - half.low) / (one.high - one.low) == pytest.approx(0.75**0.5, abs=0.06)


def test_mean_of_one_language_is_that_language() -> None:
    rows = compare(
        evaluation({"t.t": answers("de", [False, True, True])}),
        evaluation({"t.t": answers("de", [True, True, False])}),
        0,
        0,
    )
    de, mean = by_language(rows, "accuracy").values()
    assert replace(mean, language="de") == de
    assert (de.low, de.high) != (None, None)


def test_errors_of_means() -> None:
    values = np.random.default_rng(2).integers(0, 2, (3, 50, 1))
    alone = {f"l{k}": standard_error(v[:, 0]) or 0 for k, v in enumerate(values)}

    def error(records: list[Record]) -> float:
        return errors_of_means(evaluation({"t.retrieval": records}))["t", "retrieval@1"]

    assert error(retrieval("l0", values[0])) == pytest.approx(alone["l0"])
    assert error([r for k in "abc" for r in retrieval(k, values[0])]) == pytest.approx(alone["l0"])
    # Items of their own: the languages are independent.
    apart = [r | {"index": r["index"] + 50 * k} for k in range(3) for r in retrieval(f"l{k}", values[k])]
    expected = sum(e**2 for e in alone.values()) ** 0.5 / 3
    assert error(apart) == pytest.approx(expected, rel=0.01)
    # The same items, different values: the standard error of each item's mean over languages.
    together = [r for k in range(3) for r in retrieval(f"l{k}", values[k])]
    assert error(together) == pytest.approx(standard_error(values[:, :, 0].mean(0)))
    sizes = errors_of_means(bits(lambda i: 1 + 0.01 * (i % 5)))["t", "bits_per_byte"]
    assert 0 < sizes < 0.01


def bits(factor: Callable[[int], float]) -> Evaluation:
    sizes = np.random.default_rng(0).integers(10, 90, 80)
    records = [
        {"language": "en", "index": i, "bits": 2.0 * s * factor(i), "bytes": int(s)}
        for i, s in enumerate(sizes)
    ]
    return evaluation({"t.bits_per_byte": records})


def test_bits_per_byte_is_a_ratio_of_sums() -> None:
    noise = np.random.default_rng(1).normal(0, 0.03, 80)
    same = compare(bits(lambda i: 1), bits(lambda i: 1 + noise[i]), 0, 0)[0]
    worse = compare(bits(lambda i: 1), bits(lambda i: 1.02 + noise[i]), 0, 0)[0]
    assert worse.before == pytest.approx(2.0)
    assert same.p_value > 0.05 > worse.p_value
    assert worse.low > 0
    assert same.low < 0 < same.high
    assert worse.low < worse.difference < worse.high


def test_tests_keep_their_level_and_intervals_cover() -> None:
    """No change: about 5 % of p-values under 0.05; a true change of 0.2: in about 95 % of intervals."""
    rng = np.random.default_rng(5)
    old, null, gain = {}, {}, {}
    for k in range(80):
        old[f"l{k}"], null[f"l{k}"] = rng.random((2, 60, 1)) < 0.5
        # 0.5 -> 0.7, half of the items keep their value.
        gain[f"l{k}"] = np.where(rng.random((60, 1)) < 0.4, True, old[f"l{k}"])

    def of(values: dict[str, np.ndarray]) -> Evaluation:
        records = [r for k, v in values.items() for r in retrieval(k, v.astype(int))]
        return evaluation(
            {
                "t.retrieval": records,
                "x.x": [
                    r | {"index": i} for k, v in values.items() for i, r in enumerate(answers(k, v[:, 0]))
                ],
            }
        )

    for metric, layer in (("retrieval@1", 0), ("accuracy", None)):
        same = by_language(compare(of(old), of(null), 0, 0), metric, layer)
        better = by_language(compare(of(old), of(gain), 0, 0), metric, layer)
        assert np.mean([r.p_value < 0.05 for r in same.values()]) <= 0.08
        covered = [r.low is None or r.high is None or r.low <= 0.2 <= r.high for r in better.values()]
        assert 0.91 <= np.mean(covered) <= 0.995


@pytest.mark.parametrize("seed", range(3))
def test_intervals_leave_out_0_just_where_the_test_beside_them_rejects(seed: int) -> None:
    """Of accuracies, layers, their best, bits per byte and chrF; of languages and of means."""
    rng = np.random.default_rng(seed)

    def measured(gain: float) -> Evaluation:
        languages = {f"l{k}": k for k in range(12)}
        right = {c: rng.random(60) < 0.5 + gain * k / 12 for c, k in languages.items()}
        hits = {c: rng.random((60, 3)) < 0.5 + gain * k / 12 for c, k in languages.items()}
        chrf = {c: 20 + 5 * rng.random(60) + 4 * gain * k for c, k in languages.items()}
        return evaluation(
            {
                "a.a": [r for c, own in right.items() for r in answers(c, own.tolist())],
                "t.retrieval": [r for c, own in hits.items() for r in retrieval(c, own.astype(int))],
                "t.translation": [
                    {"language": c, "index": i, "metric": "chrf++_into", "chrf": v}
                    for c, own in chrf.items()
                    for i, v in enumerate(own.tolist())
                ],
            }
        )

    rows = [r for r in compare(measured(0), measured(0.4), 1, seed) if r.metric != "accuracy_norm"]
    for r in rows:
        assert r.low is not None
        assert r.high is not None
        assert (r.low > 0 or r.high < 0) == (r.p_value < 0.05), r
    seen = set()
    for r in rows:
        assert r.low is not None
        assert r.low_adjusted is not None
        assert r.high_adjusted is not None
        assert (r.low_adjusted > 0 or r.high_adjusted < 0) == (r.p_adjusted < 0.05), r
        assert r.low_adjusted <= r.low <= r.difference <= r.high_adjusted
        seen.add((r.metric, r.language == "mean", r.p_adjusted < 0.05))
    assert {(m, False, p) for m in ("accuracy", "retrieval@1", "chrf++_into") for p in (True, False)} <= seen


def test_holm_over_a_hundred_languages_still_finds_a_large_change() -> None:
    def translated(shift: float) -> Evaluation:
        rng = np.random.default_rng(0)
        records = [
            {"language": f"l{k}", "index": i, "metric": "chrf++_into", "chrf": 20 + shift * (k < 50) + v}
            for k in range(101)
            for i, v in enumerate(rng.normal(0, 1, 40).tolist())
        ]
        return evaluation({"t.translation": records})

    rows = by_language(compare(translated(0), translated(4), 0, 0), "chrf++_into")
    assert {code for code, r in rows.items() if r.p_adjusted < 0.05} == {
        *(f"l{k}" for k in range(50)),
        "mean",
    }


def many(rng: np.random.Generator, benchmarks: int, languages: int, gain: float = 0) -> Evaluation:
    """Translations in several benchmarks and languages, of random quality."""
    return evaluation(
        {
            f"b{b}.translation": [
                {"language": f"l{k}", "index": i, "metric": "chrf++_into", "chrf": v}
                for k in range(languages)
                for i, v in enumerate((gain + rng.normal(0, 1, 24)).tolist())
            ]
            for b in range(benchmarks)
        }
    )


def test_families_are_all_languages_and_all_means_that_the_report_states() -> None:
    rng = np.random.default_rng(1)
    rows = compare(many(rng, 3, 4), many(rng, 3, 4, 0.6), 0, 0)
    for own in ([r for r in rows if r.language != "mean"], [r for r in rows if r.language == "mean"]):
        assert [r.p_adjusted for r in own] == holm([r.p_value for r in own])
        assert {r.comparisons for r in own} == {len(own)}
        rejected = sum(r.p_adjusted < 0.05 for r in own)
        assert {r.level_adjusted for r in own} == {1 - 0.05 / max(1, len(own) - rejected)}
    assert 0 < sum(r.p_adjusted < 0.05 for r in rows if r.language != "mean") < 12


def test_what_the_report_does_not_state_is_corrected_apart() -> None:
    old = {"de": [True] * 20 + [False] * 20, "fr": [True] * 30 + [False] * 10}
    new = {"de": [True] * 29 + [False] * 11, "fr": [True] * 25 + [False] * 15}
    own = [evaluation({"x.x": [r for c, v in e.items() for r in answers(c, v)]}) for e in (old, new)]
    hits = [retrieval(c, np.tile(np.array(v)[:, None], (1, 3)).astype(int)) for c, v in old.items()]
    for e in own:
        e.items["t.retrieval"] = [r for records in hits for r in records]
    rows = compare(*own, 2, 0)
    # Stated: accuracy and retrieval at the aligned layer; not: accuracy_norm, the best layer, the first one.
    assert {(r.metric, r.layer): r.comparisons for r in rows if r.language == "de"} == {
        ("accuracy", None): 4, ("retrieval@1", 2): 4,
        ("accuracy_norm", None): 6, ("retrieval@1", 0): 6, ("retrieval@1_best", None): 6,
    }  # fmt: skip
    # Of means the best layer is a main figure, too.
    assert {r.comparisons for r in rows if r.language == "mean" and r.metric == "accuracy"} == {3}


def test_nothing_is_found_in_any_benchmark_where_nothing_changed() -> None:
    """Of runs that state 8 benchmarks in 5 languages, 5 % at most may claim any change at all."""
    rng = np.random.default_rng(6)
    false = [
        any(
            r.p_adjusted < 0.05
            for r in compare(many(rng, 8, 5), many(rng, 8, 5), 0, k)
            if r.language != "mean"
        )
        for k in range(50)
    ]
    assert sum(false) <= 6  # of a binomial with 50 and 0.05 above that: 1.2 %


def test_models_are_corrected_together() -> None:
    rng = np.random.default_rng(2)
    models = [many(rng, 1, 3, gain) for gain in (0, 0.7, 0.2, 0.9)]
    rows = [r for own in compare_models(models, 0) for r in own if r.language != "mean"]
    assert len(rows) == 9
    assert [r.p_adjusted for r in rows] == holm([r.p_value for r in rows])


def test_mean_has_a_test_of_its_own() -> None:
    """Small gains in every language, none significant by itself; their mean is."""
    rng = np.random.default_rng(3)
    rows = by_language(compare(many(rng, 1, 12), many(rng, 1, 12, 0.35), 0, 0), "chrf++_into")
    mean = rows.pop("mean")
    assert sum(r.p_adjusted < 0.05 for r in rows.values()) <= 2
    assert mean.p_value == mean.p_adjusted < 0.01
    assert mean.comparisons == 1


def test_mean_accuracy_exchanges_an_item_in_all_languages_at_once() -> None:
    """The same answers in four languages are no more evidence than in one."""
    rng = np.random.default_rng(9)
    old, new = (rng.random(60) < share for share in (0.5, 0.62))

    def mean(languages: str) -> Comparison:
        both = [
            evaluation({"x.x": [r for code in languages for r in answers(code, own.tolist())]})
            for own in (old, new)
        ]
        return by_language(compare(both[0], both[1], 0, 0), "accuracy")["mean"]

    one, four = mean("a"), mean("abcd")
    assert four.p_value == pytest.approx(one.p_value, abs=0.01)
    assert 0.02 < one.p_value < 0.5


def topics(rng: np.random.Generator, n: int, hubs: float) -> list[Record]:
    """Retrieval of n sentences in topics of ten. A share is nearer to all others of its topic than these are
    to their translations: which sentences are so is one model's chance, and so are 10 % of further misses."""
    topic = rng.permutation(n) // 10
    similarity = 0.1 * rng.random((n, n)) + 0.4 * np.eye(n)
    similarity[(topic[:, None] == topic) & (rng.random(n) < hubs) & ~np.eye(n, dtype=bool)] = 0.9
    missed = np.flatnonzero(rng.random(n) < 0.1)
    similarity[missed, (missed + rng.integers(1, n, len(missed))) % n] = 0.8
    records: list[Record] = [{"language": "de", "index": i, "metric": "retrieval@1"} for i in range(n)]
    for name, own in (("forward", similarity), ("backward", similarity.T)):
        for i in range(n):
            before = [j for j in range(n) if j != i and own[i, j] >= own[i, i]]
            records[i] |= {
                name: [int(not before)],
                f"{name}_rival": [before[0] if len(before) == 1 else None],
            }
    return records


def test_sentences_are_resampled_as_candidates_too() -> None:
    """Two models of the same quality, whose misses are the work of a few sentences each."""
    rng = np.random.default_rng(7)
    false = 0
    for k in range(60):
        before, after = (evaluation({"t.retrieval": topics(rng, 60, 0.05)}) for _ in range(2))
        (row, *_) = compare(before, after, 0, k)
        false += row.p_value < 0.05
    assert false <= 7  # of a binomial with 60 and 0.05 above that: 1 %


def test_a_gain_is_found_though_candidates_are_shared() -> None:
    rng = np.random.default_rng(8)
    rows = compare(
        evaluation({"t.retrieval": topics(rng, 100, 0.15)}),
        evaluation({"t.retrieval": topics(rng, 100, 0.0)}),
        0,
        0,
    )
    row = by_language(rows, "retrieval@1", 0)["de"]
    assert row.low is not None
    assert row.low > 0.1


def test_files_without_rivals_are_compared_item_by_item() -> None:
    """Older evaluations do not say which sentence kept another from its translation."""
    rng = np.random.default_rng(9)
    new, other = topics(rng, 40, 0.1), topics(rng, 40, 0.1)
    old = [{k: v for k, v in r.items() if not k.endswith("_rival")} for r in new]
    plain = [{k: v for k, v in r.items() if not k.endswith("_rival")} for r in other]
    by_item = compare(evaluation({"t.retrieval": old}), evaluation({"t.retrieval": plain}), 0, 0)
    assert compare(evaluation({"t.retrieval": old}), evaluation({"t.retrieval": other}), 0, 0) == by_item
    assert compare(evaluation({"t.retrieval": new}), evaluation({"t.retrieval": other}), 0, 0) != by_item


def test_same_seed_same_rows() -> None:
    rng = np.random.default_rng(0)
    old, new = (evaluation({"t.retrieval": retrieval("de", rng.integers(0, 2, (30, 2)))}) for _ in range(2))
    assert compare(old, new, 1, 0) == compare(old, new, 1, 0)
    assert compare(old, new, 1, 0) != compare(old, new, 1, 1)


def test_comparisons_are_written_as_json(tmp_path: Path) -> None:
    rows = compare(bits(lambda i: 1), bits(lambda i: 1.02), 0, 0)
    write_comparisons(rows, tmp_path / "evaluation" / "comparison.json")
    read = json.loads((tmp_path / "evaluation" / "comparison.json").read_text())
    assert [Comparison(**row) for row in read] == rows


def test_other_items_layers_and_versions_are_refused() -> None:
    ones = np.ones((4, 3), int)
    base = evaluation({"t.retrieval": retrieval("de", ones)})
    for other in (retrieval("de", ones[:3]), retrieval("de", ones[:, :2])):
        with pytest.raises(DataError, match="did not measure the same items"):
            compare(base, evaluation({"t.retrieval": other}), 1, 0)
    with pytest.raises(DataError, match="aligned layer 3: the evaluation has layers 0 to 2"):
        compare(base, base, 3, 0)

    def version(number: str) -> Evaluation:
        row = Result(
            benchmark="t", language="de", metric="mexa", value=0, stderr=0, n=1, layer=0, version=number
        )
        return Evaluation("m", [row], base.items)

    with pytest.raises(DataError, match="version 1 of the task before, 2 after"):
        compare(version("1"), version("2"), 1, 0)
