"""A tokenizer with more pieces of some language: its own merges go on, learnt on text of that language.

Byte-pair encoding applies merges in their order (Sennrich et al. 2016). Merges that are learnt on what the
old ones leave, and appended behind them, never change how the old ones come out: a word that no new merge
touches has the tokens that it had, and any text is written and read as before. Merges that would touch the
pivot's words are not learnt, so that its tokens stay the same.
"""

import heapq
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase

from xalign.base.errors import ModelError

_BYTE = re.compile("<0x[0-9A-F]{2}>")
"""How sentencepiece writes a byte of a letter that has no piece."""

Word = tuple[str, ...]
Pair = tuple[str, str]


@dataclass(frozen=True)
class Extension:
    """The merges that were learnt, in their order."""

    merges: Sequence[Pair]

    @property
    def pieces(self) -> list[str]:
        """What the merges make, each once."""
        return list(dict.fromkeys(left + right for left, right in self.merges))


def require_extensible(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise ModelError where the tokenizer is none of byte pairs, whose merges can go on."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    kind = None if backend is None else type(backend.model).__name__
    if kind != "BPE":
        raise ModelError(
            f"{type(tokenizer).__name__} is a tokenizer of the kind {kind or 'without a fast version'}: only "
            "byte-pair encodings (BPE: Llama, Qwen, Gemma, SmolLM, GPT-2, BLOOM, ...) can be extended"
        )


def learnt(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], pivot_texts: Iterable[str], size: int
) -> Extension:
    """At most `size` new merges, the most frequent pair of neighbouring tokens first, as long as it occurs
    twice; none that joins two tokens which are neighbours in a word of the pivot's text.

    Raises:
        ModelError: the tokenizer is none of byte pairs.
    """
    require_extensible(tokenizer)
    known = set(tokenizer.get_vocab())
    words, counts = _words(tokenizer, texts)
    pivot, _ = _words(tokenizer, pivot_texts)
    forbidden = {pair for word in pivot for pair in pairwise(word)}
    parts = [list(word) for word in words]
    pairs: Counter[Pair] = Counter()
    where: defaultdict[Pair, set[int]] = defaultdict(set)
    for index, word in enumerate(parts):
        for pair in pairwise(word):
            pairs[pair] += counts[index]
            where[pair].add(index)
    queue = [(-count, pair) for pair, count in pairs.items()]
    heapq.heapify(queue)
    merges: list[Pair] = []
    while queue and len(merges) < size:
        negative, pair = heapq.heappop(queue)
        if pairs[pair] != -negative:  # counted anew since, and in the queue by that
            continue
        if -negative < 2:
            break
        if _BYTE.search(pair[0] + pair[1]):
            continue  # of a letter without a piece, which decoders put together from single bytes
        # A piece that is there already comes about by the old merges alone: it may have been kept from it.
        if pair in forbidden or pair[0] + pair[1] in known:
            continue
        merges.append(pair)
        changed: set[Pair] = set()
        for index in list(where[pair]):
            _merge(parts[index], pair, counts[index], index, pairs, where, changed)
        pairs.pop(pair, None)
        for other in changed - {pair}:
            if pairs[other] > 1:
                heapq.heappush(queue, (-pairs[other], other))
    return Extension(merges)


def _merge(
    word: list[str],
    pair: Pair,
    count: int,
    index: int,
    pairs: "Counter[Pair]",
    where: "Mapping[Pair, set[int]]",
    changed: set[Pair],
) -> None:
    """Join a pair wherever it stands in a word, from the left, in place; the counts follow."""
    for old in pairwise(word):
        pairs[old] -= count
        where[old].discard(index)
        changed.add(old)
    joined, place = [], 0
    while place < len(word):
        if place + 1 < len(word) and (word[place], word[place + 1]) == pair:
            joined.append(pair[0] + pair[1])
            place += 2
        else:
            joined.append(word[place])
            place += 1
    word[:] = joined
    for new in pairwise(word):
        pairs[new] += count
        where[new].add(index)
        changed.add(new)


def extended(tokenizer: PreTrainedTokenizerBase, extension: Extension, first: int) -> PreTrainedTokenizerBase:
    """The tokenizer with the new merges; its new pieces have the ids from `first` on, in order."""
    backend = json.loads(_backend(tokenizer).to_str())
    model = backend["model"]
    for number, piece in enumerate(extension.pieces):
        model["vocab"][piece] = first + number
    as_text = bool(model["merges"]) and isinstance(model["merges"][0], str)
    model["merges"] += [f"{a} {b}" if as_text else [a, b] for a, b in extension.merges]
    changed: Any = type(tokenizer)
    made: PreTrainedTokenizerBase = changed(
        tokenizer_object=Tokenizer.from_str(json.dumps(backend, ensure_ascii=False)), **tokenizer.init_kwargs
    )
    return made


def with_tokens(
    tokenizer: PreTrainedTokenizerBase, tokens: Sequence[str], first: int
) -> PreTrainedTokenizerBase:
    """The tokenizer with tokens that are matched as they stand, with the ids from `first` on.

    Raises:
        ModelError: it would give them other ids: it has tokens beyond the model's rows.
    """
    tokenizer.add_tokens([AddedToken(token, normalized=False, special=False) for token in tokens])
    if tokenizer.convert_tokens_to_ids(list(tokens)) != [*range(first, first + len(tokens))]:
        raise ModelError(
            f"{type(tokenizer).__name__} has {len(tokenizer) - len(tokens)} tokens where the model has "
            f"{first} rows before the new ones: tokens of languages cannot be added"
        )
    return tokenizer


def old_pieces(tokenizer: PreTrainedTokenizerBase, extension: Extension) -> list[list[int]]:
    """For each new piece the ids of the old tokens that it is made of."""
    vocabulary = tokenizer.get_vocab()
    made: dict[str, list[int]] = {}
    for left, right in extension.merges:
        own = [made[side] if side in made else [vocabulary[side]] for side in (left, right)]
        made.setdefault(left + right, own[0] + own[1])
    return [made[piece] for piece in extension.pieces]


def tokens_a_word(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], spaces: bool) -> float:
    """Fertility: tokens over words between spaces; over letters where a script puts no spaces."""
    tokens = sum(map(len, tokenizer(list(texts), add_special_tokens=False)["input_ids"]))
    words = sum(len(text.split()) if spaces else sum(map(str.isalpha, text)) for text in texts)
    return tokens / max(1, words)


def _words(tokenizer: PreTrainedTokenizerBase, texts: Iterable[str]) -> tuple[list[Word], list[int]]:
    """Different words of texts as the tokenizer's tokens, and how often each occurs; sorted."""
    backend = _backend(tokenizer)
    words: Counter[str] = Counter()
    for text in texts:
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        if backend.pre_tokenizer is not None:
            parts = [part for part, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        else:
            parts = [text]
        # Tokenizers that keep a whole text in one piece mark its words' beginnings.
        words.update(own for part in parts for own in _between_marks(part))
    found: Counter[Word] = Counter()
    for word, count in words.items():
        found[tuple(token.value for token in backend.model.tokenize(word))] += count
    several = sorted(word for word in found if len(word) > 1)
    return several, [found[word] for word in several]


def _between_marks(part: str) -> list[str]:
    """'▁the▁sky' -> '▁the', '▁sky'."""
    first, *rest = part.split("▁")
    return [own for own in (first, *("▁" + word for word in rest)) if own]


def _backend(tokenizer: PreTrainedTokenizerBase) -> Tokenizer:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise ModelError(f"{type(tokenizer).__name__} has no fast version: it cannot be extended")
    return backend
