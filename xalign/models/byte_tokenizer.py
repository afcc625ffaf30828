"""A tokenizer that needs no file: one token a UTF-8 byte, for tests, dry runs and random models."""

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """260 tokens: `<pad>` 0, `<bos>` 1, `<eos>` 2, `<unk>` 3 and the 256 bytes.

    Puts `<bos>` in front, decodes to exactly what was encoded, and reloads with plain `AutoTokenizer`
    after `save_pretrained`.
    """
    # Byte-level BPE writes each byte as one printable character; without merges they stay apart.
    symbols = [*SPECIAL, *sorted(ByteLevel.alphabet())]
    backend = Tokenizer(BPE({symbol: i for i, symbol in enumerate(symbols)}, [], unk_token="<unk>"))
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = ByteLevelDecoder()
    backend.post_processor = TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", symbols.index("<bos>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )
