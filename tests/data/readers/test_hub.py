"""The hub is not there in tests: `datasets.load_dataset` is replaced, what is asked of it is checked."""

from typing import Any

import datasets
import pytest
from sources import rows_with

from xalign.base.errors import ArtifactError, ConfigError, DataError
from xalign.config.text import DataConfig

DATA = DataConfig(name="opus", hub="some/set", hub_config="{first}-{second}", format="hub")


def test_one_configuration_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fake(name: str, config: str, split: str, revision: str | None) -> datasets.Dataset:
        asked.append((name, config, split))
        first, second = config.split("-")
        return datasets.Dataset.from_list(
            [{"translation": {first: f"{first} text", second: f"{second} text"}}]
        )

    monkeypatch.setattr(datasets, "load_dataset", fake)
    rows = rows_with(DATA, ["zh", "de"])
    assert asked == [("some/set", "en-zh", "train"), ("some/set", "de-en", "train")]
    assert [row.texts for row in rows] == [
        {"en": "en text", "zh": "zh text"},
        {"en": "en text", "de": "de text"},
    ]


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            OSError("no route"),
            ArtifactError,
            r"could not get dataset 'some/set'.*no route.*data\.path=<local copy>",
        ),
        (ValueError("BuilderConfig 'x' not found"), ConfigError, "BuilderConfig 'x' not found"),
    ],
)
def test_failures_are_told(
    error: Exception, kind: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fake(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fake)
    with pytest.raises(kind, match=message):
        rows_with(DATA, ["zh"])


FLORES = DataConfig(
    name="flores", hub="some/flores", hub_config="{language}", hub_split="devtest", format="hub"
)
TEXTS = {
    "eng_Latn": ["one", "two", "three"],
    "deu_Latn": ["eins", "zwei", "drei"],
    "cmn_Hans": ["一", "二", "三"],
}


def fake_flores(monkeypatch: pytest.MonkeyPatch, column: str = "text", numbered: bool = True) -> list[Any]:
    asked: list[Any] = []

    def fake(name: str, config: str, split: str, revision: str | None) -> datasets.Dataset:
        asked.append((config, split))
        rows = [{"id": i, column: text} for i, text in enumerate(TEXTS[config])]
        if not numbered:
            rows = [{column: row[column]} for row in rows]
        # The Chinese set lacks a row and has another order.
        return datasets.Dataset.from_list(rows[:0:-1] if config == "cmn_Hans" and numbered else rows)

    monkeypatch.setattr(datasets, "load_dataset", fake)
    monkeypatch.setattr(datasets, "get_dataset_config_names", lambda name, revision: ["default", *TEXTS])
    return asked


@pytest.mark.parametrize("column", ["text", "sentence"])
def test_one_configuration_a_language(column: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = fake_flores(monkeypatch, column)
    rows = rows_with(FLORES, ["zh"])
    assert asked == [("eng_Latn", "devtest"), ("cmn_Hans", "devtest")]
    assert [row.texts for row in rows] == [
        {"en": "one"},
        {"en": "two", "zh": "二"},
        {"en": "three", "zh": "三"},
    ]
    assert {code for row in rows_with(FLORES) for code in row.texts} == {"en", "de", "zh"}


def test_without_numbers_lines_belong_together(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_flores(monkeypatch, numbered=False)
    assert [row.texts for row in rows_with(FLORES, ["de"])][1] == {"en": "two", "de": "zwei"}


def test_a_language_or_column_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_flores(monkeypatch, "words")
    with pytest.raises(DataError, match=r"benchmark\.hub: .*no configuration in 'th'"):
        rows_with(FLORES, ["th"], key="benchmark")
    with pytest.raises(DataError, match=r"no column text or sentence \(columns: id, words\)"):
        rows_with(FLORES, ["de"])


def test_a_gated_set_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_flores(monkeypatch)

    def refuse(name: str, config: str, split: str, revision: str | None) -> None:
        raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{name}' is a gated dataset on the Hub.")

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(ArtifactError) as caught:
        rows_with(FLORES, ["de"], key="benchmark")
    message = str(caught.value)
    assert "is gated: accept its conditions on https://huggingface.co/datasets/some/flores" in message
    assert "benchmark.hub=null benchmark.path=<local copy>" in message
