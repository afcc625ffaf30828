"""The byte tokenizer gives back what it was given, in any script, also after saving."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer, LlamaConfig

from xalign.models.byte_tokenizer import byte_tokenizer

TEXTS = [
    "The cat sat, didn't it?  Two spaces\tand\nlines ",
    "Ça va, naïve façade « oui »",
    "Кошка сидела на коврике",
    "η γάτα κάθισε",
    "القطة على السجادة",
    "החתול ישב",
    "बिल्ली चटाई पर बैठी",
    "แมวนั่งบนเสื่อ",
    "猫坐在垫子上。",
    "猫がマットに座った",
    "고양이가 매트에 앉았다",
    "ድመቷ ምንጣፉ ላይ",
    "emoji 👩‍👩‍👧 and \u0000 \u200d \ufeff",
]


@pytest.mark.parametrize("text", TEXTS)
def test_one_token_a_byte_and_back(text: str) -> None:
    tokenizer = byte_tokenizer()
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == tokenizer.bos_token_id == 1
    assert len(ids) == 1 + len(text.encode())
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_vocabulary() -> None:
    tokenizer = byte_tokenizer()
    assert len(tokenizer) == 260
    assert [tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id] == [0, 2, 3]


def test_reloads_with_plain_transformers_beside_a_model(tmp_path: Path) -> None:
    # With a model's config beside it, AutoTokenizer could choose that model's own tokenizer class.
    byte_tokenizer().save_pretrained(tmp_path)
    LlamaConfig().save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert again(text)["input_ids"] == byte_tokenizer()(text)["input_ids"]
        assert again.decode(again(text)["input_ids"], skip_special_tokens=True) == text
    assert again.pad_token_id == 0
