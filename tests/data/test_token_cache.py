import os
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from xalign.data import token_cache
from xalign.data.collate import encode
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.data.token_cache import token_table
from xalign.models.byte_tokenizer import byte_tokenizer

TOKENIZER = byte_tokenizer()
LANGUAGES = ["en", "fr", "th"]


def corpus(last: str = "the last", name: str = "made") -> ParallelCorpus:
    rows = []
    for i in range(25):
        texts = {"en": f"Sentence {i}" + " and more" * (i % 5), "th": f"ประโยค{i}", "de": "ungebraucht"}
        if i % 3:
            texts["fr"] = f"La phrase {i} "
        rows.append(Row("s", texts))
    return ParallelCorpus.from_rows([*rows, Row("s", {"en": last})], name)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("batch", [1, 7, 1000])
@pytest.mark.parametrize("selected", [False, True])
def test_ids_are_those_of_the_text_on_the_fly(
    batch: int, selected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_cache, "_BATCH", batch)
    whole = corpus()
    part = whole.select([7, 3, 25, 11, 12]) if selected else whole
    table = token_table(TOKENIZER, part, LANGUAGES, 20)
    for language in LANGUAGES:
        rows = [int(row) for row in part.rows_with(language)]
        ids = table.ids(language, rows)
        assert ids == encode(TOKENIZER, [part.texts(language)[row] or "" for row in rows], 20)
        assert max(map(len, ids)) <= 20
    assert table.ids("en", [2, 0, 2]) == [table.ids("en", [row])[0] for row in (2, 0, 2)]


def test_nothing_is_tokenised_twice(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = token_table(TOKENIZER, corpus(), LANGUAGES, 20).ids("fr", [1, 2])

    def never(*_: object) -> list[list[int]]:
        raise AssertionError("tokenised again")

    monkeypatch.setattr(token_cache, "encode", never)
    assert token_table(byte_tokenizer(), corpus(name="other"), LANGUAGES, 20).ids("fr", [1, 2]) == first
    # What an earlier call left set on the tokenizer is not part of it.
    padded = byte_tokenizer()
    padded(["a", "bc"], padding=True, truncation=True, max_length=2)
    assert token_table(padded, corpus(), LANGUAGES, 20).ids("fr", [1, 2]) == first
    assert len(list((cache / "tokens").glob("[!.]*"))) == 1


def without_bos() -> PreTrainedTokenizerFast:
    tokenizer = byte_tokenizer()
    backend = tokenizer.backend_tokenizer
    backend.post_processor = type(TOKENIZER.backend_tokenizer.post_processor)(single="$A", special_tokens=[])
    return tokenizer


def test_whatever_changes_the_ids_is_in_the_key(cache: Path) -> None:
    token_table(TOKENIZER, corpus(), LANGUAGES, 20)
    others = [
        (without_bos(), corpus(), LANGUAGES, 20),
        (TOKENIZER, corpus(last="another"), LANGUAGES, 20),
        (TOKENIZER, corpus(), ["en", "fr"], 20),
        (TOKENIZER, corpus(), LANGUAGES, 21),
    ]
    for count, (tokenizer, texts, languages, length) in enumerate(others, start=2):
        table = token_table(tokenizer, texts, languages, length)
        assert table.ids("en", [25]) == encode(tokenizer, [texts.texts("en")[25] or ""], length)
        assert len(list((cache / "tokens").glob("[!.]*"))) == count


@pytest.mark.parametrize("before", [None, "false"])
def test_tokenizers_take_all_cores_only_meanwhile(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TOKENIZERS_PARALLELISM", raising=False)
    if before is not None:
        monkeypatch.setenv("TOKENIZERS_PARALLELISM", before)
    seen = set()

    def watched(*arguments: object) -> list[list[int]]:
        seen.add(os.environ.get("TOKENIZERS_PARALLELISM"))
        if len(seen) == 1:
            raise RuntimeError("power cut")
        return []

    monkeypatch.setattr(token_cache, "encode", watched)
    with pytest.raises(RuntimeError, match="power cut"):
        token_table(TOKENIZER, corpus(), LANGUAGES, 20)
    assert seen == {"true"}
    assert os.environ.get("TOKENIZERS_PARALLELISM") == before
