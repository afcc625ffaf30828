"""Tokenizers of the kinds that real models have, each trained on a few lines: no file, no network."""

import json
from collections.abc import Callable

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from xalign.models.byte_tokenizer import byte_tokenizer

LINES = [
    "The house is big and the garden is small.",
    "Das Haus ist groß und der Garten ist klein.",
    "Passwortänderung, Passwort, Änderung",
    "今天天气很好，我们去公园吧。你好，世界！",
    "ประเทศไทยมีอากาศร้อนมาก กี่คน",
    "यह घर बड़ा है और बगीचा छोटा है।",
    "Translate into Chinese: Answer in German: Answer in Thai: =",
    "Which word is it? word0123456789 W Ja, ja",
]


def byte_level() -> PreTrainedTokenizerBase:
    """As GPT-2's: byte-level BPE, whose offsets leave out the space that a token begins with."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(LINES * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|endoftext|>")


def sentencepiece_unigram() -> PreTrainedTokenizerBase:
    """As XGLM's: unigram pieces, a word boundary before every text, `</s>` in front."""
    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    backend.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    backend.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        unk_token="<unk>",
        show_progress=False,
    )
    backend.train_from_iterator(LINES * 4, trainer)
    backend.post_processor = processors.TemplateProcessing(single="</s> $A", special_tokens=[("</s>", 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def sentencepiece_bpe() -> PreTrainedTokenizerBase:
    """As Llama 2's: BPE over text that begins with a word boundary, bytes for what has no piece."""
    special = ["<unk>", "<s>", "</s>"]
    octets = [f"<0x{octet:02X}>" for octet in range(256)]
    learnt = Tokenizer(models.BPE())
    words = [word for line in LINES * 4 for word in line.replace(" ", " ▁").split(" ")]
    learnt.train_from_iterator(
        words, trainers.BpeTrainer(vocab_size=200, limit_alphabet=90, show_progress=False)
    )
    model = json.loads(learnt.to_str())["model"]
    vocabulary = {piece: number for number, piece in enumerate([*special, *octets, *model["vocab"]])}
    backend = Tokenizer(
        models.BPE(
            vocabulary, [tuple(pair) for pair in model["merges"]], unk_token="<unk>", byte_fallback=True
        )
    )
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def slow_bytes() -> PreTrainedTokenizerBase:
    """ByT5's: written in Python, which tells no offsets; ends every text with `</s>`."""
    return ByT5Tokenizer(clean_up_tokenization_spaces=False)


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "bytes": byte_tokenizer,
    "byte-level BPE (GPT-2)": byte_level,
    "unigram (XGLM)": sentencepiece_unigram,
    "BPE with byte fallback (Llama 2)": sentencepiece_bpe,
    "slow, without offsets (ByT5)": slow_bytes,
}
