import pytest
import torch

from xalign.data.collate import IGNORED, bucket_by_length, encode, tokenize_in_buckets, tokenize_instructions
from xalign.data.instructions import InstructionSample
from xalign.models.byte_tokenizer import byte_tokenizer

TOKENIZER = byte_tokenizer()


def test_buckets_hold_every_index_once_and_waste_little() -> None:
    lengths = [3, 50, 4, 48, 5, 47, 3, 3, 20, 21, 22, 19, 4, 4, 5, 6, 7, 30, 31, 8]
    groups = bucket_by_length(lengths, waste=0.25, smallest=2)
    assert sorted(i for g in groups for i in g) == list(range(len(lengths)))
    for group in groups:
        if len(group) > 2:
            widest = max(lengths[i] for i in group)
            assert sum(lengths[i] for i in group) >= 0.75 * widest * len(group)


def test_buckets_restore_the_order() -> None:
    texts = ["a", "a longer text", "bb", "the longest text of them all by far", "ccc"] * 5
    batch = tokenize_in_buckets(TOKENIZER, texts, 64)
    rows = [
        row[mask.bool()].tolist()
        for b in batch.buckets
        for row, mask in zip(b.input_ids, b.attention_mask, strict=True)
    ]
    assert [rows[i] for i in batch.order.tolist()] == encode(TOKENIZER, texts, 64)


def test_content_leaves_out_special_tokens_and_padding() -> None:
    batch = tokenize_in_buckets(TOKENIZER, ["ab", "c"], 64).buckets[0]
    assert batch.content_mask.tolist() == [[0, 1, 1], [0, 1, 0]]


def sample(prompt: str, answer: str) -> InstructionSample:
    return InstructionSample(prompt, answer, "en", "fr")


def labelled(batch_text: tuple[str, str], max_length: int) -> tuple[list[int], list[int]]:
    tokens = tokenize_instructions(TOKENIZER, [sample(*batch_text)], max_length).buckets[0]
    assert tokens.labels is not None
    return tokens.input_ids[0].tolist(), tokens.labels[0].tolist()


def test_loss_is_on_the_answer_and_the_end_of_sequence_only() -> None:
    ids, labels = labelled(("ask", " yes"), 64)
    answer = TOKENIZER(" yes", add_special_tokens=False)["input_ids"]
    assert ids == [*TOKENIZER("ask")["input_ids"], *answer, TOKENIZER.eos_token_id]
    assert [x for x in labels if x != IGNORED] == [*answer, TOKENIZER.eos_token_id]
    assert labels[: len(ids) - len(answer) - 1] == [IGNORED] * (len(ids) - len(answer) - 1)


@pytest.mark.parametrize(
    "text", [("p" * 100, " short"), ("short", " " + "a" * 100), ("p" * 100, " " + "a" * 100)]
)
def test_too_long_samples_keep_beginning_of_sequence_answer_and_end(text: tuple[str, str]) -> None:
    ids, labels = labelled(text, 32)
    assert len(ids) == 32
    assert ids[0] == TOKENIZER.bos_token_id
    assert ids[-1] == labels[-1] == TOKENIZER.eos_token_id
    first = next(i for i, x in enumerate(labels) if x != IGNORED)
    assert ids[first] == TOKENIZER(text[1], add_special_tokens=False)["input_ids"][0]


def test_no_sample_is_dropped() -> None:
    samples = [sample("x" * n, " y" * (n % 7 + 1)) for n in range(1, 40)]
    batch = tokenize_instructions(TOKENIZER, samples, 48)
    assert sum(len(b.input_ids) for b in batch.buckets) == len(samples)
    assert all((b.labels != IGNORED).any(1).all() for b in batch.buckets if b.labels is not None)
    assert torch.equal(torch.sort(batch.order).values, torch.arange(len(samples)))
