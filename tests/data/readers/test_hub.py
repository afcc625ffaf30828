"""The hub is not there in tests: `datasets.load_dataset` is replaced, what is asked of it is checked."""

from typing import Any

import datasets
import pytest

from xalign.config import DataConfig, DataFormat
from xalign.data.readers import hub
from xalign.errors import ArtifactError, ConfigError

DATA = DataConfig(name="opus", hub="some/set", hub_config="{first}-{second}", format=DataFormat.hub)


def test_one_configuration_a_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fake(name: str, config: str, split: str) -> datasets.Dataset:
        asked.append((name, config, split))
        first, second = config.split("-")
        return datasets.Dataset.from_list(
            [{"translation": {first: f"{first} text", second: f"{second} text"}}]
        )

    monkeypatch.setattr(datasets, "load_dataset", fake)
    rows = list(hub.read(DATA, ["en", "zh", "de"]))
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
        list(hub.read(DATA, ["en", "zh"]))
