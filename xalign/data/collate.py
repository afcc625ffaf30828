"""From texts to padded tensors: right-padded, in buckets of similar length, with a content mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

if TYPE_CHECKING:
    from xalign.data.instructions import InstructionSample

IGNORED = -100


@dataclass(frozen=True)
class Tokens:
    """A padded batch. All tensors are (B, T) and int64; labels, where given, are -100 off the answer."""

    input_ids: Tensor
    attention_mask: Tensor
    content_mask: Tensor
    labels: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        labels = None if self.labels is None else self.labels.to(device)
        return type(self)(
            self.input_ids.to(device), self.attention_mask.to(device), self.content_mask.to(device), labels
        )

    @property
    def count(self) -> int:
        """Tokens that are not padding."""
        return int(self.attention_mask.sum())


@dataclass(frozen=True)
class Buckets:
    """One batch as several `Tokens` of similar length; `order` (B,) restores the batch's own order."""

    buckets: tuple[Tokens, ...]
    order: Tensor

    def to(self, device: torch.device) -> Self:
        return type(self)(tuple(b.to(device) for b in self.buckets), self.order.to(device))

    @property
    def count(self) -> int:
        """Tokens that are not padding."""
        return sum(b.count for b in self.buckets)


def encode(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> list[list[int]]:
    """Token ids of each text with the tokenizer's own special tokens, cut to `max_length`."""
    # The end is cut whichever side the tokenizer is set to truncate on.
    ids: list[list[int]] = tokenizer(list(texts), add_special_tokens=True, padding=False)["input_ids"]
    return [row[:max_length] for row in ids]


def pad(
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[Sequence[int]],
    labels: Sequence[Sequence[int]] | None = None,
) -> Tokens:
    """Right-pad rows of token ids into one `Tokens`."""
    width = max(1, max(map(len, rows)))
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    ids_BT = torch.full((len(rows), width), filler, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    labels_BT = None if labels is None else torch.full_like(ids_BT, IGNORED)
    for i, row in enumerate(rows):
        ids_BT[i, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask_BT[i, : len(row)] = 1
        if labels is not None and labels_BT is not None:
            labels_BT[i, : len(row)] = torch.tensor(labels[i], dtype=torch.long)
    special = torch.isin(ids_BT, torch.tensor(tokenizer.all_special_ids, dtype=torch.long))
    return Tokens(ids_BT, mask_BT, mask_BT * ~special, labels_BT)


def tokenize(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> Tokens:
    """Texts as one right-padded batch."""
    return pad(tokenizer, encode(tokenizer, texts, max_length))


def tokenize_in_buckets(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int) -> Buckets:
    """Texts as one batch in buckets of similar length."""
    return _bucketed(tokenizer, encode(tokenizer, texts, max_length))


def tokenize_instructions(
    tokenizer: PreTrainedTokenizerBase, samples: "Sequence[InstructionSample]", max_length: int
) -> Buckets:
    """Instruction samples with labels on the answer and the end-of-sequence token only.

    A sample that is too long loses the start of its prompt, then the end of its answer; the
    end-of-sequence token always stays. No sample is dropped.
    """
    prompts = encode(tokenizer, [s.prompt for s in samples], max_length * 4)
    rows, labels = [], []
    for prompt, sample in zip(prompts, samples, strict=True):
        answer = tokenizer(sample.answer, add_special_tokens=False)["input_ids"]
        # Some tokenizers (BERT-style post-processors) end a text with a special token of their own.
        while len(prompt) > 1 and prompt[-1] == tokenizer.eos_token_id:
            prompt = prompt[:-1]
        answer = answer[: max_length // 2 if len(prompt) > max_length // 2 else max_length - len(prompt) - 1]
        answer = [*answer, tokenizer.eos_token_id]
        prompt = _cut_start(tokenizer, prompt, max_length - len(answer))
        rows.append([*prompt, *answer])
        labels.append([IGNORED] * len(prompt) + answer)
    return _bucketed(tokenizer, rows, labels)


def _cut_start(tokenizer: PreTrainedTokenizerBase, prompt: list[int], room: int) -> list[int]:
    if len(prompt) <= room:
        return prompt
    # The leading special token stays: without it some models fall apart.
    head = prompt[:1] if prompt[0] in tokenizer.all_special_ids else []
    return head + prompt[len(prompt) - (room - len(head)) :]


def _bucketed(
    tokenizer: PreTrainedTokenizerBase, rows: list[list[int]], labels: list[list[int]] | None = None
) -> Buckets:
    groups = bucket_by_length([len(row) for row in rows])
    order = np.argsort(np.concatenate(groups), kind="stable")
    return Buckets(
        tuple(
            pad(tokenizer, [rows[i] for i in g], None if labels is None else [labels[i] for i in g])
            for g in groups
        ),
        torch.from_numpy(order),
    )


def bucket_by_length(lengths: Sequence[int], waste: float = 0.25, smallest: int = 8) -> list[np.ndarray]:
    """Split indices into groups of similar length, longest first.

    A group is closed when padding would exceed `waste` of its padded tokens and it holds at least
    `smallest` rows: below that, the cost of one more pass outweighs the padding.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    groups: list[list[int]] = [[]]
    for index in order:
        group = groups[-1]
        widest = lengths[group[0]] if group else 0
        real = sum(lengths[i] for i in group) + lengths[index]
        if len(group) >= smallest and real < (1 - waste) * widest * (len(group) + 1):
            groups.append([])
        groups[-1].append(int(index))
    return [np.array(g, dtype=np.int64) for g in groups]
