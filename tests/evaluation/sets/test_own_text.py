"""A benchmark's own parallel text: folders, FLORES's folder of splits, the hub."""

from pathlib import Path
from typing import Any

import pytest

from xalign.base.errors import DataError
from xalign.config.schema import BenchmarkConfig
from xalign.config.text import DataConfig
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.sets import own_text as module
from xalign.evaluation.sets.own_text import load_own_text


def benchmark(**changes: Any) -> BenchmarkConfig:
    return BenchmarkConfig(**({"name": "flores", "tasks": ["mexa"], "own_text": True} | changes))


def flores(folder: Path, *splits: str) -> Path:
    for split in splits:
        (folder / split).mkdir()
        for code in ("eng_Latn", "deu_Latn", "swh_Latn"):
            (folder / split / f"{code}.{split}").write_text(f"{split} {code} 1\n{split} {code} 2\n")
    return folder


def test_the_published_folder_has_a_split_to_measure_and_one_to_show(tmp_path: Path) -> None:
    path = str(flores(tmp_path, "dev", "devtest"))
    test, shown = load_own_text(benchmark(path=path, shots=2), "en", ["de"])
    assert test.pairs("en", "de") == [(f"devtest eng_Latn {i}", f"devtest deu_Latn {i}") for i in (1, 2)]
    assert shown is not None
    assert shown.pairs("en", "de")[0] == ("dev eng_Latn 1", "dev deu_Latn 1")
    assert load_own_text(benchmark(path=path), "en", ["de"])[1] is None
    # What is measured is not shown, nor is devtest ever.
    own, shown = load_own_text(benchmark(path=path, split="dev", shots=2), "en", [])
    assert own.texts("sw") == ["dev swh_Latn 1", "dev swh_Latn 2"]
    assert shown is None


def test_one_split_alone_or_a_folder_of_files(tmp_path: Path) -> None:
    flores(tmp_path, "devtest")
    for path in (tmp_path, tmp_path / "devtest"):
        test, shown = load_own_text(benchmark(path=str(path), shots=2), "en", ["sw"])
        assert test.texts("sw") == ["devtest swh_Latn 1", "devtest swh_Latn 2"]
        assert shown is None
    with pytest.raises(DataError, match=r"benchmark.split=dev: .* has devtest"):
        load_own_text(benchmark(path=str(tmp_path), split="dev"), "en", ["sw"])


def test_the_hub_is_asked_for_both_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[DataConfig] = []

    def load(data: DataConfig, pivot: str, languages: list[str], key: str) -> ParallelCorpus:
        asked.append(data)
        assert key == "benchmark"
        return ParallelCorpus.from_rows([Row("hub", {"en": data.hub_split, "de": "x"})], "hub")

    monkeypatch.setattr(module, "load_test_set", load)
    test, shown = load_own_text(benchmark(hub="some/flores", shots=1), "en", ["de"])
    assert shown is not None
    assert (test.texts("en"), shown.texts("en")) == (["devtest"], ["dev"])
    assert {(d.hub, d.hub_config, d.format) for d in asked} == {("some/flores", "{language}", "hub")}


def test_tatoeba_is_a_folder_of_files(shared_data: Path) -> None:
    test, _ = load_own_text(benchmark(path=str(shared_data / "tatoeba")), "en", ["de", "sw"])
    assert len(test.pairs("en", "de")) == 1000
