"""Which package reads a tokenizer's files."""

import json
from pathlib import Path

import pytest

from xalign.models import tokenizer_files
from xalign.models.tokenizer_files import problem_of_tokenizer


def test_the_package_that_reads_them_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_files, "find_spec", lambda name: None)
    (tmp_path / "tokenizer.model").write_bytes(b"")
    said = str(problem_of_tokenizer(tmp_path))
    assert "its tokenizer is in tokenizer.model, without a tokenizer.json" in said
    assert "pip install 'xalign[sentencepiece]'" in said
    assert "pip install 'xalign[tiktoken]'" in str(problem_of_tokenizer(["qwen.tiktoken", "config.json"]))
    assert "in sentencepiece.bpe.model alone" in str(problem_of_tokenizer(["sentencepiece.bpe.model"]))
    assert problem_of_tokenizer(["original/tokenizer.model"]) is None
    (tmp_path / "tokenizer.json").write_text(json.dumps({}))
    assert problem_of_tokenizer(tmp_path) is None


def test_an_installed_one_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_files, "find_spec", lambda name: name)
    assert problem_of_tokenizer(["tokenizer.model"]) is None
