from pathlib import Path

import numpy as np
import pytest

from xalign.base.errors import DataError
from xalign.evaluation.metrics import BITS_PER_BYTE, Kind, Metric, answers
from xalign.evaluation.results import Evaluation, Result, standard_error

ROW = Result(
    benchmark="held out",
    language="zh-Hant",
    metric="retrieval@1",
    value=0.5,
    stderr=0.1,
    n=4,
    layer=2,
    version="1",
)
EVALUATION = Evaluation(
    "m/äé", [ROW], {"held out.retrieval": [{"language": "th", "index": 0, "forward": [0, 1]}]}
)


def test_reads_what_it_wrote(tmp_path: Path) -> None:
    path = tmp_path / "new" / "before.json"
    EVALUATION.write(path)
    assert Evaluation.read(path) == EVALUATION
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "before.held_out.retrieval.items.jsonl",
        "before.json",
    ]


def test_items_of_an_earlier_evaluation_under_the_same_name_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "after.json"
    EVALUATION.write(path)
    Evaluation("m", [ROW], {}).write(path)
    assert Evaluation.read(path).items == {}


def test_interrupted_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    EVALUATION.write(path)
    with pytest.raises(ValueError, match="JSON"):
        Evaluation("m", [Result(**{**vars(ROW), "value": float("nan")})], EVALUATION.items).write(path)
    assert Evaluation.read(path) == EVALUATION
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model": "m", "results": [{"metric": 1}]}', "\x00\x01"])
def test_damaged_file_is_one_message(tmp_path: Path, text: str) -> None:
    path = tmp_path / "before.json"
    path.write_text(text)
    with pytest.raises(DataError, match=r"before\.json"):
        Evaluation.read(path)


def test_missing_items_are_named(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    EVALUATION.write(path)
    (tmp_path / "before.held_out.retrieval.items.jsonl").unlink()
    with pytest.raises(DataError, match=r"held_out\.retrieval\.items\.jsonl: no such file"):
        Evaluation.read(path)


def test_damaged_item_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "before.json"
    EVALUATION.write(path)
    file = tmp_path / "before.held_out.retrieval.items.jsonl"
    file.write_text(file.read_text() + '{"language": \n')
    with pytest.raises(DataError, match=r"held_out\.retrieval\.items\.jsonl, line 2: damaged"):
        Evaluation.read(path)
    assert Evaluation.read(path, items=False).results == [ROW]


def test_rows_are_read_tolerantly_and_faults_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    row = '"benchmark": "b", "language": "fr", "metric": "m", "value": 1, "n": 3'
    path.write_text(f'{{"model": "m", "results": [{{{row}, "version": 2, "more": 1}}]}}')
    (found,) = Evaluation.read(path).results
    assert (found.stderr, found.layer, found.version) == (None, None, "2")
    path.write_text(f'{{"model": "m", "results": [{{{row}}}, {{{row}, "layer": "x"}}]}}')
    with pytest.raises(DataError, match=r"a\.json, 'results', row 2, 'layer': .*not 'x'"):
        Evaluation.read(path)


def test_means_by_layer_and_the_best_layer() -> None:
    values = {"de": [0.1, 0.5, 0.5], "fr": [0.3, 0.5, 0.5], "mean": [0.9, 0.9, 0.9]}
    rows = [
        Result(benchmark="t", language=code, metric="mexa", value=v, n=1, layer=layer)
        for code, own in values.items()
        for layer, v in enumerate(own)
    ]
    found = Evaluation("m", rows, {})
    assert found.mean_by_layer("t", "mexa") == pytest.approx({0: 0.2, 1: 0.5, 2: 0.5})
    assert found.best_layer("t", "mexa") == 1
    assert found.best_layer("t", "accuracy") is None
    assert found.find("t", "mexa", "fr", 2) == rows[5]
    assert found.find("t", "mexa", "fr") is None


def test_metrics_are_told_by_the_file(tmp_path: Path) -> None:
    """Of other packages' metrics nobody else knows what they are."""
    own = Metric(name="loss", label="Their loss", higher_is_better=False, kind=Kind.other)
    path = tmp_path / "before.json"
    Evaluation("m", [], {}, {"set": [own, *answers("XNLI", 1 / 3)]}).write(path)
    found = Evaluation.read(path)
    assert found.metric("set", "loss") == own
    assert found.metric("set", "accuracy").chance == pytest.approx(1 / 3)


def test_of_older_files_what_is_known_by_name() -> None:
    found = Evaluation("m", [], {})
    assert found.metric("set", "bits_per_byte") == BITS_PER_BYTE
    assert found.metric("set", "accuracy").label == "set"
    assert found.metric("set", "loss") == Metric(name="loss", label="loss")
    names = ["mexa_max_centred_weighted_mean", "mexa_mean_centred_weighted_mean"]
    assert [metric.name for metric in found.summaries("set", "mexa_centred_weighted_mean")] == names


def test_standard_error_by_hand() -> None:
    # Values 0, 0, 1, 1: variance 1/3 with n - 1, over n = 4.
    assert standard_error([0, 0, 1, 1]) == pytest.approx(np.sqrt(1 / 12))
    assert standard_error([1]) is None
