"""From texts to tensors: packed into rows, or right-padded in buckets of similar length.

NumPy throughout: a torch operation in the thread that makes batches would start OpenMP threads of its own
there, beside those that training computes with.
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from xalign.data.chat import Conversation
from xalign.data.packing import best_packing

IGNORED = -100

PACKED = 64
"""Least width of a packed row: narrow enough for attention to cost next to nothing beside the products."""


@dataclass(frozen=True)
class Tokens:
    """Texts as rows of a batch; all tensors are (B, T) and int64, and labels are -100 off the answer.

    Padded, each row is one text. Packed, a row holds several texts side by side, of which none sees
    another: `texts` numbers them over the batch (-1: padding), `positions` counts tokens within each.
    """

    input_ids: Tensor
    attention_mask: Tensor
    content_mask: Tensor
    labels: Tensor | None = None
    texts: Tensor | None = None
    positions: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        tensors = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(self, **{name: part.to(device) for name, part in tensors.items() if part is not None})

    @property
    def count(self) -> int:
        """Tokens that are not padding."""
        return int(self.attention_mask.sum())

    @property
    def size(self) -> int:
        """Texts here."""
        return len(self.input_ids) if self.texts is None else int(self.texts.max()) + 1

    def without_first(self) -> Tensor:
        """The content mask (B, T) without the first token of each text that has others."""
        if self.texts is None:
            first_BT = self.attention_mask.cumsum(1) * self.attention_mask == 1
            alone_B = self.content_mask.sum(1, keepdim=True) < 2
            return self.content_mask * (~first_BT | alone_B)
        assert self.positions is not None
        counts_N = torch.tensor(self.content_counts(), device=self.texts.device)
        alone_BT = (counts_N < 2)[self.texts.clamp(min=0)]
        return self.content_mask * ((self.positions != 0) | alone_BT)

    def owners(self, chosen_BT: Tensor) -> Tensor:
        """Of each chosen position (B, T), in row order, the number of its text here (S,)."""
        return chosen_BT.nonzero()[:, 0] if self.texts is None else self.texts[chosen_BT]

    def content_counts(self) -> list[int]:
        """Tokens that are not special of each text, in the order of the texts here."""
        if self.texts is None:
            return self.content_mask.sum(1).tolist()
        owners = self.texts[self.content_mask.bool()]
        return owners.bincount(minlength=int(self.texts.max()) + 1).tolist()

    @property
    def supervised_count(self) -> int:
        """Tokens that are predicted in training."""
        return 0 if self.labels is None else int((self.labels[:, 1:] != IGNORED).sum())

    @property
    def predicts(self) -> Tensor:
        """Positions whose next token is supervised, (B, T) bool."""
        assert self.labels is not None, "these texts have no labels"
        predicts_BT = torch.zeros_like(self.labels, dtype=torch.bool)
        predicts_BT[:, :-1] = self.labels[:, 1:] != IGNORED
        return predicts_BT

    def labels_after(self, chosen_BT: Tensor) -> Tensor:
        """Labels (S,) of the tokens that follow the chosen positions (B, T), in row order."""
        assert self.labels is not None, "these texts have no labels"
        return self.labels[:, 1:][chosen_BT[:, :-1]]


@dataclass(frozen=True)
class Arrangement:
    """How texts become tensors: decided once at the start, by what is exact for the model and fits."""

    packed: bool = False
    """Whether texts share rows; otherwise they are padded, in buckets of similar length."""
    micro_batch: int | None = None
    """Most tokens, padding included, of one pass through the model."""
    widest: int = PACKED
    """Most tokens of a packed row, but for a text that is longer."""


@dataclass(frozen=True)
class Buckets:
    """One batch as several `Tokens`; `order` restores the texts' own order."""

    buckets: tuple[Tokens, ...]
    order: Tensor
    micro_batch: int | None = None
    """Most tokens whose activations are held at a time."""
    sizes: tuple[int, ...] | None = None
    """Tokens that each counts as when micro-batches are made; None: as many as it has."""

    def to(self, device: torch.device) -> Self:
        return replace(self, buckets=tuple(b.to(device) for b in self.buckets), order=self.order.to(device))

    def chunks(self) -> list[list[Tokens]]:
        """Neighbours that together are within the micro-batch."""
        chunks: list[list[Tokens]] = [[]]
        held = 0
        sizes = self.sizes or [tokens.input_ids.numel() for tokens in self.buckets]
        for tokens, size in zip(self.buckets, sizes, strict=True):
            if chunks[-1] and self.micro_batch is not None and held + size > self.micro_batch:
                chunks.append([])
                held = 0
            chunks[-1].append(tokens)
            held += size
        return chunks

    @property
    def count(self) -> int:
        """Tokens that are not padding."""
        return sum(b.count for b in self.buckets)


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of each text with the tokenizer's own special tokens, cut to `max_length`; a conversation has
    them in it already."""
    made: dict[bool, Iterator[list[int]]] = {}
    for special in (True, False):
        own = [str(text) for text in texts if isinstance(text, Conversation) != special]
        rows = tokenizer(own, add_special_tokens=special, padding=False)["input_ids"] if own else []
        made[special] = iter(rows)
    # The end is cut whichever side the tokenizer is set to truncate on.
    return [next(made[not isinstance(text, Conversation)])[:max_length] for text in texts]


def pad(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Sequence[int]],
    labels: Sequence[Sequence[int]] | None = None,
) -> Tokens:
    """Right-pad rows of token ids into one `Tokens`."""
    width = max(1, max(map(len, rows)))
    ids_BT = np.full((len(rows), width), _filler(tokenizer))
    mask_BT = np.zeros_like(ids_BT)
    labels_BT = None if labels is None else np.full_like(ids_BT, IGNORED)
    for i, row in enumerate(rows):
        ids_BT[i, : len(row)] = row
        mask_BT[i, : len(row)] = 1
        if labels is not None and labels_BT is not None:
            labels_BT[i, : len(row)] = labels[i]
    content_BT = mask_BT * ~np.isin(ids_BT, tokenizer.all_special_ids)
    return _tokens(input_ids=ids_BT, attention_mask=mask_BT, content_mask=content_BT, labels=labels_BT)


def _tokens(**parts: np.ndarray | None) -> Tokens:
    return Tokens(**{name: torch.from_numpy(part) for name, part in parts.items() if part is not None})


def _filler(tokenizer: PreTrainedTokenizerBase) -> int:
    return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> Tokens:
    """Texts as one right-padded batch."""
    return pad(tokenizer, encode(tokenizer, texts, max_length))


def arrange(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Sequence[int]],
    labels: Sequence[Sequence[int]] | None = None,
    *,
    arrangement: Arrangement,
) -> Buckets:
    """Texts, as token ids, in as many batches as their arrangement asks for; none is dropped."""
    rows = [row or [_filler(tokenizer)] for row in rows]  # some tokenizers make nothing of an empty text
    lengths = [len(row) for row in rows]
    groups = _packed_groups(lengths, arrangement) if arrangement.packed else _groups(lengths, arrangement)
    made = []
    for group in groups:
        texts = [number for row in group for number in row]
        own_labels = None if labels is None else [labels[i] for i in texts]
        tokens = pad(tokenizer, [rows[i] for i in texts], own_labels)
        made.append(_pack(tokens, [len(row) for row in group]) if arrangement.packed else tokens)
    order = np.argsort([number for group in groups for row in group for number in row], kind="stable")
    return Buckets(tuple(made), torch.from_numpy(order), arrangement.micro_batch)


def _packed_groups(lengths: Sequence[int], arrangement: Arrangement) -> list[list[list[int]]]:
    """Groups of rows of texts (numbers): rows are of one width, groups within the micro-batch."""
    widest = min(arrangement.widest, arrangement.micro_batch or sys.maxsize)
    width, rows = best_packing(lengths, max(PACKED, *lengths), widest)
    most = max(1, (arrangement.micro_batch or sys.maxsize) // width)
    return [rows[first : first + most] for first in range(0, len(rows), most)]


def _groups(lengths: Sequence[int], arrangement: Arrangement) -> list[list[list[int]]]:
    """The same for texts that have a row each."""
    groups = []
    for bucket in bucket_by_length(lengths):
        most = max(1, (arrangement.micro_batch or sys.maxsize) // lengths[bucket[0]])
        groups += [bucket[first : first + most] for first in range(0, len(bucket), most)]
    return [[[int(number)] for number in group] for group in groups]


def _pack(tokens: Tokens, row_sizes: Sequence[int]) -> Tokens:
    """The rows of `tokens` joined: the first `row_sizes[0]` of them into one row, and so on."""
    real_NT = tokens.attention_mask.numpy().astype(bool)
    lengths_N = real_NT.sum(1)
    row_N = np.repeat(np.arange(len(row_sizes)), row_sizes)
    numbers_NT = np.broadcast_to(np.arange(len(lengths_N))[:, None], real_NT.shape)
    positions_NT = np.broadcast_to(np.arange(real_NT.shape[1]), real_NT.shape)
    # Where a text begins in its row: after all texts before it, less those of earlier rows.
    before_N = lengths_N.cumsum() - lengths_N
    firsts = np.cumsum([0, *row_sizes[:-1]])
    start_N = before_N - before_N[firsts][row_N]
    places = (
        np.broadcast_to(row_N[:, None], real_NT.shape)[real_NT],
        (start_N[:, None] + positions_NT)[real_NT],
    )
    shape = (len(row_sizes), int((start_N + lengths_N).max()))

    def joined(values_NT: np.ndarray, empty: int) -> np.ndarray:
        packed = np.full(shape, empty)
        packed[places] = values_NT[real_NT]
        return packed

    ids_NT = tokens.input_ids.numpy()
    return _tokens(
        input_ids=joined(ids_NT, 0 if real_NT.all() else int(ids_NT[~real_NT][0])),
        attention_mask=joined(tokens.attention_mask.numpy(), 0),
        content_mask=joined(tokens.content_mask.numpy(), 0),
        labels=None if tokens.labels is None else joined(tokens.labels.numpy(), IGNORED),
        texts=joined(numbers_NT, -1),
        positions=joined(positions_NT, 0),
    )


def bucket_by_length(lengths: Sequence[int], waste: float = 0.25, smallest: int = 8) -> list[np.ndarray]:
    """Split indices into groups of similar length, longest first.

    A group is closed when padding would exceed `waste` of its padded tokens and it holds at least
    `smallest` rows: below that, the cost of one more pass outweighs the padding.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    groups: list[list[int]] = [[]]
    real = 0
    for index in order:
        group = groups[-1]
        widest = lengths[group[0]] if group else 0
        real += lengths[index]
        if len(group) >= smallest and real < (1 - waste) * widest * (len(group) + 1):
            groups.append([])
            real = lengths[index]
        groups[-1].append(int(index))
    return [np.array(g, dtype=np.int64) for g in groups]
