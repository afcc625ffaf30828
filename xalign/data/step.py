"""What a training step is made of: the parts that objectives sample, each a function of (seed, step, rank)
alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Self, TypeVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from xalign.data.chat import Chat
from xalign.data.collate import Arrangement, Buckets, arrange, encode
from xalign.data.instructions import InstructionSample, InstructionSampler
from xalign.data.instructions.chats import chat_rows
from xalign.data.instructions.tokens import instruction_rows
from xalign.data.sampling import Pair, PairSampler, part_of_rank, text_of
from xalign.data.token_cache import TokenTable
from xalign.data.transforms.chain import NO_TRANSFORMS, Chain

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """An objective's part of a step on one rank: its texts, and numbers for each of its rows.

    The texts are `sides` groups of equally many, n each: of translation pairs the sources, then the targets.
    """

    texts: Buckets
    sides: int = 1
    numbers: Mapping[str, Tensor] = field(default_factory=dict)
    """By name, (n,) int64: what the loss must know of each row."""
    pairs: int = 0
    """Translation pairs in it, for the log."""
    beside: Buckets | None = None
    """Further texts, which only the model before training reads: what it is to be a teacher on."""

    def to(self, device: torch.device) -> Self:
        moved = {name: values.to(device) for name, values in self.numbers.items()}
        beside = None if self.beside is None else self.beside.to(device)
        return replace(self, texts=self.texts.to(device), numbers=moved, beside=beside)


@dataclass(frozen=True)
class StepBatch:
    """What one optimizer step sees on one rank: a part for each objective that has a weight at this step."""

    step: int
    parts: Mapping[str, Part]

    def to(self, device: torch.device) -> Self:
        return replace(self, parts={name: part.to(device) for name, part in self.parts.items()})

    @property
    def pairs(self) -> int:
        """Translation pairs, counted once where several objectives have the same ones."""
        return max((part.pairs for part in self.parts.values()), default=0)

    @property
    def tokens(self) -> int:
        """Tokens that are not padding."""
        return sum(part.texts.count for part in self.parts.values())


@dataclass(frozen=True)
class Material:
    """What steps sample from, the same on every rank. What no objective needs is None."""

    tokenizer: PreTrainedTokenizerBase
    pairs: PairSampler
    seed: int
    sentence_length: int
    """Most tokens of a sentence."""
    tokens: TokenTable | None = None
    """The corpus's sentences as token ids; None: they are tokenised as they are sampled."""
    instructions: InstructionSampler | None = None
    own_texts: Sequence[str] = ()
    """Texts that the model wrote before training."""
    chat: Chat | None = None
    """The template by which prompts are written; None: they are plain text."""
    transforms: Chain = NO_TRANSFORMS
    """What changes pairs and instructions as they are sampled."""


class StepData:
    """What one step offers to the objectives of one rank. Everything in it repeats when the step is
    repeated."""

    def __init__(
        self, material: Material, arrangement: Arrangement, step: int, rank: int, ranks: int
    ) -> None:
        self.material, self.arrangement = material, arrangement
        self.step, self.rank, self.ranks = step, rank, ranks

    @cached_property
    def shares(self) -> list[list[Pair]]:
        """The translation pairs of all ranks as the corpus has them, equally many of each language that was
        sampled."""
        return self.material.pairs.shares(self.step, self.ranks)

    @property
    def global_pairs(self) -> list[Pair]:
        """The pairs of all ranks as the corpus has them."""
        return [pair for share in self.shares for pair in share]

    @cached_property
    def pairs(self) -> list[Pair]:
        """This rank's pairs, one language after the other, transformed as configured."""
        starts = accumulate(map(len, self.shares), initial=0)
        places = [range(start, start + len(share)) for start, share in zip(starts, self.shares, strict=False)]
        own = part_of_rank(self.shares, self.rank, self.ranks)
        own_places = part_of_rank(places, self.rank, self.ranks)
        return self.material.transforms.pairs(own, own_places, self.step)

    @property
    def chat(self) -> Chat | None:
        """The template by which prompts are written; None: they are plain text."""
        return self.material.chat

    @property
    def own_texts(self) -> Sequence[str]:
        """Texts that the model wrote before training."""
        return self.material.own_texts

    def instructions(self, count: int) -> list[InstructionSample]:
        """This rank's `count` instruction samples, transformed as configured."""
        assert self.material.instructions is not None, (
            "the objective's `needs` do not say that it samples them"
        )
        own = self.material.instructions.batch(self.step, count, self.rank, self.ranks)
        places = range(self.rank * count, (self.rank + 1) * count)
        return self.material.transforms.instructions(own, places, self.step)

    def instruction_rows(
        self, samples: Sequence[InstructionSample], max_length: int
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Token ids and labels of samples, written as a chat where that is configured."""
        if self.chat is not None:
            return chat_rows(self.chat, samples, max_length)
        return instruction_rows(self.material.tokenizer, samples, max_length)

    def rng(self, stream: int) -> np.random.Generator:
        """Random numbers of this step, the same on every rank; `stream` keeps uses apart."""
        return np.random.default_rng([self.material.seed, self.step, stream])

    def drawn(self, known: Sequence[T], size: int, stream: int) -> list[T]:
        """This rank's `size` of the step's records, none twice while there are enough."""
        count = size * self.ranks
        places = self.rng(stream).choice(len(known), count, replace=count > len(known))
        return [known[int(place)] for place in places[self.rank * size : (self.rank + 1) * size]]

    def encode(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """Token ids of each text, with special tokens, cut to `max_length`."""
        return encode(self.material.tokenizer, texts, max_length)

    def sentence_ids(self, pairs: Sequence[Pair]) -> list[list[int]]:
        """Token ids of the sources, then of the targets: from the cache, where there is one and it has the
        text."""
        material, pivot = self.material, self.material.pairs.pivot
        sentences = [(pivot, p.row, p.source) for p in pairs]
        sentences += [(p.target_language, p.row, p.target) for p in pairs]
        found: list[list[int] | None] = [self._cached(*sentence) for sentence in sentences]
        others = [text for (_, _, text), ids in zip(sentences, found, strict=True) if ids is None]
        made = iter(self.encode(others, material.sentence_length) if others else [])
        return [next(made) if ids is None else ids for ids in found]

    def _cached(self, language: str, row: int, text: str) -> list[int] | None:
        """Token ids of a text that is as the corpus has it in that row; None of any other."""
        tokens, corpus = self.material.tokens, self.material.pairs.corpus
        if tokens is None or text != text_of(corpus, language, row):
            return None
        return tokens.ids(language, [row])[0]

    def language_numbers(self, pairs: Sequence[Pair]) -> list[int]:
        """A number for the target language of each pair."""
        number = {language: i for i, language in enumerate(sorted(self.material.pairs.targets))}
        return [number[pair.target_language] for pair in pairs]

    def part(
        self,
        rows: Sequence[Sequence[int]],
        labels: Sequence[Sequence[int]] | None = None,
        *,
        sides: int = 1,
        numbers: Mapping[str, Sequence[int]] | None = None,
        pairs: int = 0,
        beside: tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]] | None = None,
    ) -> Part:
        """A part of texts given as token ids, arranged as is exact and fits; labels are -100 off the answer.
        `beside`: ids and labels of further texts."""
        # NumPy first: a torch operation in this thread would start threads of its own.
        tensors = {k: torch.from_numpy(np.array(v, dtype=np.int64)) for k, v in (numbers or {}).items()}
        texts = arrange(self.material.tokenizer, rows, labels, arrangement=self.arrangement)
        others = None
        if beside is not None:
            others = arrange(self.material.tokenizer, *beside, arrangement=self.arrangement)
        return Part(texts, sides, tensors, pairs, others)
