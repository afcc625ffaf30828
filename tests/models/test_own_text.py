from pathlib import Path

import pytest
import torch
from chat_templates import CHATML
from tiny import tiny_backbone

from xalign.data.chat import Chat, Conversation
from xalign.data.collate import encode
from xalign.models import own_text
from xalign.models.own_text import own_texts


@pytest.fixture(autouse=True)
def _few_texts_in_an_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XALIGN_CACHE", str(tmp_path))
    monkeypatch.setattr(own_text, "COUNT", 10)
    monkeypatch.setattr(own_text, "BATCH", 4)


def test_the_model_writes_what_it_believes() -> None:
    """A head that always wants the letter A writes As, as long as it is let."""
    backbone = tiny_backbone("gpt2", tie_word_embeddings=False)
    [letter] = backbone.tokenizer("A", add_special_tokens=False)["input_ids"]
    head = torch.nn.Linear(32, 260)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(-1e4)
        head.bias[letter] = 0
    backbone.model.lm_head = head
    assert own_texts(backbone, 7, 0) == ["A" * 7] * 10


def test_a_beginning_is_gone_on_from() -> None:
    backbone = tiny_backbone("llama")
    texts = own_texts(backbone, 12, 0, ["Der Hund schläft", "ab", "Mbwa analala"])
    begun = [text for text in texts if text.startswith(("Der ", "Mbwa"))]
    assert [text[:4] for text in begun] == ["Der ", "Mbwa"]
    assert not any("Hund" in text for text in texts)  # as many tokens as are given, and no more
    assert len(texts) <= 12
    assert own_texts(backbone, 12, 0) == texts[: len(texts) - 2]
    assert own_texts(backbone, 12, 0, ["Un chien dort"]) != texts


def test_a_chat_model_goes_on_with_a_user_s_turn() -> None:
    backbone = tiny_backbone("llama")
    backbone.tokenizer.chat_template = CHATML
    chat = Chat(backbone.tokenizer)
    texts = own_texts(backbone, 40, 0, ["Der Hund schläft", "ab"], chat)
    plain, (own,) = texts[:-1], texts[-1:]
    assert own.startswith("<bos><|user>Der ")
    assert isinstance(own, Conversation)
    (row,) = encode(backbone.tokenizer, [own], 99)
    assert row[:2].count(backbone.tokenizer.bos_token_id) == 1
    assert len(own) > len("<bos><|user>Der ")
    # What is written from nothing is no prompt: it stays as it is.
    assert plain == own_texts(backbone, 40, 0)
    assert not any(isinstance(text, Conversation) for text in plain)


def test_written_once_for_a_model_and_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    original = own_text._write

    def counted(*args: object) -> list[str]:
        calls.append(1)
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(own_text, "_write", counted)
    backbone = tiny_backbone("llama")
    first = own_texts(backbone, 9, 0)
    assert own_texts(backbone, 9, 0) == first
    assert len(calls) == 1
    assert own_texts(backbone, 9, 1) != first
    own_texts(tiny_backbone("llama", seed=1), 9, 0)
    assert len(calls) == 3


def test_neither_the_model_nor_the_random_state_is_touched() -> None:
    backbone = tiny_backbone("llama")
    backbone.compute_dtype = torch.bfloat16
    state = torch.get_rng_state()
    own_texts(backbone, 5, 0)
    assert torch.equal(torch.get_rng_state(), state)
    assert {p.dtype for p in backbone.parameters()} == {torch.float32}


@pytest.mark.parametrize("size", [8, 1300])
def test_tokens_are_drawn_as_often_as_they_are_likely(size: int) -> None:
    """Of a vocabulary of several blocks, too, the last of which is not full."""
    probabilities = torch.zeros(size)
    probabilities[[0, size // 2, size // 2 + 1, size - 1]] = torch.tensor([0.5, 0.3, 0.05, 0.15])
    drawn = own_text._draw(probabilities.log().expand(20_000, size), torch.Generator().manual_seed(0))
    shares = drawn.flatten().bincount(minlength=size) / 20_000
    torch.testing.assert_close(shares, probabilities, atol=0.015, rtol=0)
    assert not shares[probabilities == 0].any()


def test_a_text_ends_with_the_end_of_sequence() -> None:
    tokenizer = tiny_backbone("llama").tokenizer
    ids = tokenizer("ab", add_special_tokens=False)["input_ids"]
    assert own_text._text(tokenizer, [*ids, tokenizer.eos_token_id, *ids]) == "ab"
