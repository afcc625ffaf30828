"""A corpus as token ids: made once, then read memory-mapped by every rank and every later run."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import datasets
from transformers import PreTrainedTokenizerBase

from xalign.base.cache import cached_by_key
from xalign.base.progress import progress_bar
from xalign.data.collate import encode
from xalign.data.parallel import ParallelCorpus
from xalign.data.tokenizer_state import tokenizer_state

VERSION = "1"
"""Raised whenever `encode` gives other ids; part of the cache's key."""

_FILE = "tokens.arrow"
_BATCH = 1000


class TokenTable:
    """The ids of each row of a corpus in some languages, as `encode` gives them; null for no text."""

    def __init__(self, table: datasets.Dataset) -> None:
        # Arrow's own columns: an item of a `datasets.Dataset` takes a hundred times as long to come.
        self._columns = {language: table.data.column(language) for language in table.column_names}

    def ids(self, language: str, rows: Iterable[int]) -> list[list[int]]:
        """Token ids of the language's texts in these rows of the corpus, all of which have one."""
        column = self._columns[language]
        # Not `take`: of lists in many chunks, it may join all chunks in memory first.
        return [column[row].values.to_pylist() for row in rows]


def token_table(
    tokenizer: PreTrainedTokenizerBase, corpus: ParallelCorpus, languages: Sequence[str], max_length: int
) -> TokenTable:
    """The corpus's tokens in these languages, cut to `max_length`: from the cache, or made and put there.

    The key names the tokenizer and the texts by their content, so that neither a path nor a name matters.

    Raises:
        ArtifactError: the cache cannot be written.
    """

    def build(folder: Path) -> None:
        with progress_bar(f"tokenising {corpus.name}", len(corpus)) as advance, _on_all_cores():

            def encoded(batch: dict[str, list[str | None]]) -> dict[str, list[list[int] | None]]:
                advance(len(batch[languages[0]]))
                return {language: _encoded(tokenizer, texts, max_length) for language, texts in batch.items()}

            corpus.table.select_columns(list(languages)).map(
                encoded,
                batched=True,
                batch_size=_BATCH,
                features=datasets.Features(
                    {language: datasets.List(datasets.Value("int32")) for language in languages}
                ),
                cache_file_name=str(folder / _FILE),
                load_from_cache_file=False,
                new_fingerprint="tokens",  # or the function is hashed, with the tokenizer in it
            )

    key = {
        "version": VERSION,
        "tokenizer": hashlib.sha256(tokenizer_state(tokenizer).encode()).hexdigest(),
        "corpus": corpus.fingerprint,
        "languages": list(languages),
        "max_length": max_length,
    }
    # Four bytes a token; a token is hardly ever less than a character.
    needed = 4 * sum(len(text) for language in languages for text in corpus.texts(language) if text)
    folder = cached_by_key("tokens", key, build, f"tokens of {corpus.name}", needed)
    return TokenTable(datasets.Dataset.from_file(str(folder / _FILE)))


@contextmanager
def _on_all_cores() -> Iterator[None]:
    """Let tokenizers use every core while nothing else runs; in training, they would take them from torch."""
    before = os.environ.get("TOKENIZERS_PARALLELISM")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["TOKENIZERS_PARALLELISM"]
        else:
            os.environ["TOKENIZERS_PARALLELISM"] = before


def _encoded(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str | None], max_length: int
) -> list[list[int] | None]:
    present = [text for text in texts if text is not None]
    rows = iter(encode(tokenizer, present, max_length) if present else [])
    return [None if text is None else next(rows) for text in texts]
