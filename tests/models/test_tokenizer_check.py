"""Tokenizers that cannot write what they are given."""

from pathlib import Path

import pytest
from small_tokenizers import sentencepiece_unigram
from transformers.models.xglm.tokenization_xglm import XGLMTokenizer

from xalign.base.errors import ModelError
from xalign.models.byte_tokenizer import byte_tokenizer
from xalign.models.tokenizer_check import lost_share, require_tokens, require_written


def test_one_of_special_tokens_alone_is_refused_with_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"^here: the tokenizer has 11 tokens, all of them special"):
        require_tokens(XGLMTokenizer(), "here", tmp_path)
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"")
    with pytest.raises(ModelError, match=r"in sentencepiece\.bpe\.model alone"):
        require_tokens(XGLMTokenizer(), "here", tmp_path)
    for sound in (byte_tokenizer(), sentencepiece_unigram()):
        require_tokens(sound, "here", tmp_path)


def test_a_language_whose_letters_are_lost_is_named() -> None:
    tokenizer = sentencepiece_unigram()
    require_written(tokenizer, "en", ["The house is big."])
    with pytest.raises(ModelError, match=r"cannot write 'am': 100% of its letters are lost in <unk>"):
        require_written(tokenizer, "am", ["ሰላም ለዓለም ሁሉ"])
    assert lost_share(byte_tokenizer(), ["ሰላም"]) == 0.0
    assert lost_share(tokenizer, []) == 0.0
