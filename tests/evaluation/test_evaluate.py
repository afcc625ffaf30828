from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import tiny_backbone

from xalign.base.errors import DataError
from xalign.config.choices import Pooling
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.contributions import contributions, first_layer
from xalign.evaluation.engine import bits
from xalign.evaluation.engine import session as module
from xalign.evaluation.evaluate import Measurement, evaluate
from xalign.evaluation.item_scores import item_scores
from xalign.evaluation.results import Evaluation
from xalign.evaluation.task import Setting
from xalign.options.composed import benchmark_of

SENTENCES = [f"sentence {i} of the test" for i in range(12)]
ROWS = [
    {"en": s, "de": f"Satz {i}"} | ({"fr": f"phrase {i}"} if i < 9 else {}) for i, s in enumerate(SENTENCES)
]
ROWS += [{"en": SENTENCES[0].upper(), "fr": "double"}, {"en": "alone", "sw": "peke yake"}]
CORPUS = ParallelCorpus.from_rows([Row("test", texts) for texts in ROWS], "test")
SHOWN = ParallelCorpus.from_rows(
    [
        Row("test", {"en": x, "de": y})
        for x, y in [("show", "zeigen"), ("hide", "verbergen"), ("go", "gehen")]
    ],
    "shown",
)
TEXT_TASKS = ["retrieval", "mexa", "translation_choice", "bits_per_byte"]

CHOICE_METRICS = ["accuracy", "accuracy_norm", "accuracy_bytes", "calibration_error", "near_ties"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path / "cache"))


def run(
    corpus: ParallelCorpus | None = CORPUS, languages: tuple[str, ...] = ("de", "fr", "sw"), **changes: Any
) -> Measurement:
    options = {"name": "held", "tasks": TEXT_TASKS, "batch_tokens": 256} | changes
    setting = Setting(
        benchmark=benchmark_of(**options),
        corpus=corpus,
        demonstrations=SHOWN,
        pivot="en",
        languages=languages,
        aligned_layer=2,
        seed=0,
    )
    backbone = tiny_backbone("llama", max_position_embeddings=512)
    return evaluate(backbone, setting, model="tiny", dtype=torch.float32)


def test_rows_records_and_picture_of_every_task(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    measurement = run()
    evaluation = measurement.evaluation
    # What a set of sentences is made to ask is a benchmark of its own.
    names = {task: task if task == "translation_choice" else "held" for task in TEXT_TASKS}
    assert set(evaluation.items) == {f"{name}.{task}" for task, name in names.items()}
    shape = {(r.metric, r.layer, r.shots): 0 for r in evaluation.results if r.language == "de"}
    layered = ["retrieval@1", "retrieval@1_centred", "mexa", "mexa_centred"]
    summaries = ["retrieval@1_best", "mexa_max", "mexa_mean"]
    assert set(shape) == {
        *((m, layer, None) for m in layered for layer in range(5)),
        *((m + c, None, None) for m in summaries for c in ("", "_centred")),
        *((m, None, 2) for m in CHOICE_METRICS),
        ("bits_per_byte", None, None),
    }
    n = {(r.metric, r.language): r.n for r in evaluation.results}
    assert (n["retrieval@1", "de"], n["mexa", "fr"]) == (12, 9)
    assert (n["bits_per_byte", "en"], n["bits_per_byte", "sw"]) == (14, 1)
    assert "held: fewer than two pairs en-sw: no retrieval" in caplog.text
    assert ("retrieval@1", "sw") not in n

    row = next(r for r in evaluation.results if (r.metric, r.language, r.layer) == ("retrieval@1", "fr", 3))
    own = [
        r for r in evaluation.items["held.retrieval"] if (r["metric"], r["language"]) == ("retrieval@1", "fr")
    ]
    assert row.value == pytest.approx(np.mean([(r["forward"][3] + r["backward"][3]) / 2 for r in own]))
    # A sentence that misses because of one other alone names it by its number; a hit has no such sentence.
    numbers = {r["index"] for r in own}
    rivals = [(r["forward"][3], r["forward_rival"][3]) for r in own]
    assert {rival for hit, rival in rivals if hit} <= {None}
    assert {rival for _, rival in rivals} - {None} <= numbers
    scores = item_scores(evaluation)["held", "retrieval@1", "fr"].at(3)
    assert row.stderr == contributions(scores, first_layer, scores.index).error

    assert measurement.picture is not None
    assert (
        len(measurement.picture.vectors) == 12 + 12 + 9 + 1 + 1
    )  # en de fr, and fr's double with its English
    evaluation.write(tmp_path / "before.json")
    assert Evaluation.read(tmp_path / "before.json") == evaluation


def test_best_layer_is_each_languages_own() -> None:
    results = run(tasks=["retrieval"]).evaluation.results
    for language in ("de", "fr"):
        layers = [r.value for r in results if (r.metric, r.language) == ("retrieval@1", language)]
        best = next(r for r in results if (r.metric, r.language) == ("retrieval@1_best", language))
        assert (best.value, best.layer) == (max(layers), None)


def test_a_sentence_is_represented_once_a_pooling(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Pooling, str]] = []
    original = module.represent

    def counted(*args: Any, **options: Any) -> torch.Tensor:
        calls.extend((pooling, text) for pooling in args[2:] for text in args[1])
        return original(*args, **options)

    monkeypatch.setattr(module, "represent", counted)
    evaluation = run(tasks=["retrieval", "mexa"], poolings=[Pooling.mean, Pooling.last]).evaluation
    assert {pooling for pooling, _ in calls} == {Pooling.mean, Pooling.last}
    assert len(calls) == len(set(calls))
    metrics = {r.metric for r in evaluation.results}
    assert {
        "retrieval@1_last",
        "retrieval@1_centred_last",
        "mexa_max_centred_last",
        "retrieval@1_best",
    } <= metrics


def test_limits() -> None:
    evaluation = run(limit=8, choice_limit=3, languages=("de",)).evaluation
    assert {(r.metric, r.language): r.n for r in evaluation.results if r.layer is None} == {
        **{(m + c, "de"): 8 for m in ("retrieval@1_best", "mexa_max", "mexa_mean") for c in ("", "_centred")},
        **{(m, "de"): 3 for m in CHOICE_METRICS},
        **{("bits_per_byte", lang): 8 for lang in ("en", "de")},
    }


def test_what_is_missing_is_said_before_anything_is_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "represent", None)
    with pytest.raises(DataError, match="'retrieval' needs parallel text, and 'held' has none"):
        run(None, tasks=["retrieval"])
    with pytest.raises(DataError, match="no text in 'ger'; it has de, en, fr, sw"):
        run(languages=("de", "ger"))
    with pytest.raises(DataError, match="no pairs of 'en' with sw"):
        run(languages=("sw",))
    monkeypatch.setitem(globals(), "SHOWN", None)
    with pytest.raises(DataError, match=r"benchmark\.choice_shots=2: 'held' has no text for demonstrations"):
        run()


def test_what_was_measured_is_not_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted measurement goes on with the language that it stopped at."""
    languages: list[str] = []
    original = bits.text_bits

    def interrupted(backbone: Any, texts: Any, **options: Any) -> Any:
        languages.append(texts[0][:3])
        if len(languages) == 2:
            raise KeyboardInterrupt
        return original(backbone, texts, **options)

    monkeypatch.setattr(bits, "text_bits", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(tasks=["bits_per_byte"])
    whole = run(tasks=["bits_per_byte"]).evaluation
    assert languages == ["sen", "Sat", "Sat", "phr", "pek"]
    assert run(tasks=["bits_per_byte"]).evaluation == whole
    assert len(languages) == 5
    run(tasks=["bits_per_byte"], limit=3)
    assert len(languages) == 8  # Swahili has but one text: nothing changes


def test_everything_from_the_cache_is_what_was_measured() -> None:
    first, again = run(), run()
    assert again.evaluation == first.evaluation
    assert first.picture is not None
    assert again.picture is not None
    np.testing.assert_array_equal(again.picture.vectors, first.picture.vectors)


def test_a_damaged_part_is_measured_again(tmp_path: Path) -> None:
    first = run(tasks=["mexa"], languages=("de",))
    next((tmp_path / "cache").glob("evaluations/*/measured.json")).write_text("{")
    assert run(tasks=["mexa"], languages=("de",)).evaluation == first.evaluation
