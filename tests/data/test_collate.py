import pytest
import torch

from xalign.data.collate import (
    IGNORED,
    PACKED,
    Arrangement,
    Buckets,
    arrange,
    bucket_by_length,
    encode,
)
from xalign.data.instructions import InstructionSample
from xalign.data.instructions.tokens import instruction_rows
from xalign.models.byte_tokenizer import byte_tokenizer

TOKENIZER = byte_tokenizer()
TEXTS = ["a", "a longer text", "bb", "the longest text of them all by far", "ccc"] * 5
ARRANGEMENTS = [
    Arrangement(packed, micro_batch) for packed in (False, True) for micro_batch in (None, 1, 100, 200)
]


def texts_of(batch: Buckets) -> list[list[int]]:
    """Token ids of the batch's texts in the batch's own order, read from its tensors."""
    rows: list[list[int]] = []
    for tokens in batch.buckets:
        numbers = tokens.texts
        if numbers is None:
            numbers = torch.arange(len(tokens.input_ids))[:, None].expand_as(tokens.input_ids)
            numbers = torch.where(tokens.attention_mask.bool(), numbers, -1)
        rows += [tokens.input_ids[numbers == n].tolist() for n in range(int(numbers.max()) + 1)]
    return [rows[i] for i in batch.order.tolist()]


def test_buckets_hold_every_index_once_and_waste_little() -> None:
    lengths = [3, 50, 4, 48, 5, 47, 3, 3, 20, 21, 22, 19, 4, 4, 5, 6, 7, 30, 31, 8]
    groups = bucket_by_length(lengths, waste=0.25, smallest=2)
    assert sorted(i for g in groups for i in g) == list(range(len(lengths)))
    for group in groups:
        if len(group) > 2:
            widest = max(lengths[i] for i in group)
            assert sum(lengths[i] for i in group) >= 0.75 * widest * len(group)


@pytest.mark.parametrize("arrangement", ARRANGEMENTS, ids=str)
def test_every_text_is_there_once_and_its_order_known(arrangement: Arrangement) -> None:
    rows = encode(TOKENIZER, TEXTS, 64)
    batch = arrange(TOKENIZER, rows, arrangement=arrangement)
    assert texts_of(batch) == rows
    assert batch.count == sum(map(len, rows))


@pytest.mark.parametrize("arrangement", ARRANGEMENTS, ids=str)
def test_no_pass_exceeds_the_micro_batch_unless_a_row_alone_does(arrangement: Arrangement) -> None:
    batch = arrange(TOKENIZER, encode(TOKENIZER, TEXTS, 64), arrangement=arrangement)
    for tokens in batch.buckets:
        within = arrangement.micro_batch is None or tokens.input_ids.numel() <= arrangement.micro_batch
        assert within or len(tokens.input_ids) == 1
    chunks = batch.chunks()
    assert [t for chunk in chunks for t in chunk] == list(batch.buckets)
    if arrangement.micro_batch is None:
        assert len(chunks) == 1


def test_packed_rows_hardly_waste_any_place() -> None:
    (tokens,) = arrange(TOKENIZER, encode(TOKENIZER, TEXTS, 64), arrangement=Arrangement(packed=True)).buckets
    assert tokens.texts is not None
    assert tokens.positions is not None
    assert tokens.input_ids.shape[1] <= PACKED
    assert tokens.count > 0.85 * tokens.input_ids.numel()
    for number in range(len(TEXTS)):
        place = tokens.texts == number
        assert len(place.nonzero()[:, 0].unique()) == 1  # in one row
        assert tokens.positions[place].tolist() == list(range(int(place.sum())))
    assert torch.equal(tokens.texts < 0, tokens.attention_mask == 0)


def test_a_text_of_no_tokens_keeps_its_place() -> None:
    for packed in (False, True):
        batch = arrange(TOKENIZER, [[5, 6], [], [7]], arrangement=Arrangement(packed))
        assert texts_of(batch) == [[5, 6], [TOKENIZER.pad_token_id], [7]]
        assert sum(int(t.content_mask.sum()) for t in batch.buckets) == 3


def test_content_leaves_out_special_tokens_and_padding() -> None:
    batch = arrange(TOKENIZER, encode(TOKENIZER, ["ab", "c"], 64), arrangement=Arrangement())
    assert batch.buckets[0].content_mask.tolist() == [[0, 1, 1], [0, 1, 0]]


@pytest.mark.parametrize("arrangement", ARRANGEMENTS, ids=str)
def test_no_sample_is_dropped(arrangement: Arrangement) -> None:
    samples = [InstructionSample("x" * n, " y" * (n % 7 + 1), "en", "fr") for n in range(1, 40)]
    rows, labels = instruction_rows(TOKENIZER, samples, 48)
    batch = arrange(TOKENIZER, rows, labels, arrangement=arrangement)
    assert texts_of(batch) == rows
    supervised = [x for row in labels for x in row if x != IGNORED]
    assert sum(b.supervised_count for b in batch.buckets) == len(supervised)
    found = [t.labels[t.labels != IGNORED].tolist() for t in batch.buckets if t.labels is not None]
    assert sorted(x for own in found for x in own) == sorted(supervised)
