"""Real sentences for every system alike: Multi30k captions, English and German, joined to a given length."""

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from xalign.config.schema import Config
from xalign.data.collate import IGNORED
from xalign.data.instructions import InstructionSample
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.data.sampling import PairSampler
from xalign.objectives.contrastive import Contrastive
from xalign.objectives.instruction import Instruction

LINES = 12_000


Pairs = tuple[list[str], list[str]]
"""English sentences and their translations."""


class Texts:
    """Sentence pairs and instruction samples of every step, a function of the step alone."""

    def __init__(self, config: Config, data: Path, pair_words: int, instruction_words: int) -> None:
        lines = read(data)
        rows = [Row("multi30k", {"en": x, "de": y}) for x, y in joined(lines, pair_words)]
        self.corpus = ParallelCorpus.from_rows(rows[:4000], "multi30k")
        self.config = config
        self.sampler = PairSampler(
            self.corpus,
            "en",
            ["de"],
            batch_size=config.trainer.batch_size,
            languages_per_batch=1,
            temperature=0.5,
            seed=config.seed,
        )
        # From the other end: other sentences than those of the pairs.
        self.instructions = Instructions(list(joined(lines[::-1], instruction_words)))

    def pairs(self, step: int) -> Pairs | None:
        """Those that xalign draws at this step; None where the contrastive loss has no weight."""
        if "contrastive" not in self.config.loss.objectives:
            return None
        drawn = self.sampler.batch(step)
        return [p.source for p in drawn], [p.target for p in drawn]

    def samples(self, step: int) -> list[InstructionSample] | None:
        """Those that xalign draws at this step; None where the instruction loss has no weight."""
        instruction = instruction_options(self.config)
        return None if instruction is None else self.instructions.batch(step, instruction.batch_size)


def instruction_options(config: Config) -> Instruction.Config | None:
    """Of the instruction objective; None where it has no weight."""
    options = config.loss.objectives.get("instruction")
    assert options is None or isinstance(options, Instruction.Config)
    return options


def temperature(config: Config) -> float:
    """Of the contrastive objective."""
    options = config.loss.objectives["contrastive"]
    assert isinstance(options, Contrastive.Config)
    return options.tau


class Instructions:
    """`{x} Translate into German: {y}`, one after another."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.pairs = pairs

    def batch(self, step: int, size: int, rank: int = 0, ranks: int = 1) -> list[InstructionSample]:
        chosen = [self.pairs[(step * size + i) % len(self.pairs)] for i in range(size)]
        return [InstructionSample(f"{x} Translate into German:", f" {y}", "en", "de") for x, y in chosen]


def read(data: Path) -> list[tuple[str, str]]:
    """Lines of the training part, English and German."""
    folder = data / "multi30k"
    english, german = (
        gzip.decompress((folder / f"train.{code}.gz").read_bytes()).decode().splitlines()[:LINES]
        for code in ("en", "de")
    )
    return list(zip(english, german, strict=True))


def joined(lines: Sequence[tuple[str, str]], words: int) -> Iterator[tuple[str, str]]:
    """Consecutive lines joined until the English side has at least so many words."""
    english: list[str] = []
    german: list[str] = []
    for x, y in lines:
        english.append(x)
        german.append(y)
        if sum(len(text.split()) for text in english) >= words:
            yield " ".join(english), " ".join(german)
            english, german = [], []


def sentence_ids(tokenizer: PreTrainedTokenizerBase, texts: list[str], max_length: int) -> list[list[int]]:
    return [row[:max_length] for row in tokenizer(texts)["input_ids"]]


def supervised_ids(
    tokenizer: PreTrainedTokenizerBase, samples: list[InstructionSample], max_length: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of each sample, and labels: the answer's tokens and the end-of-sequence token, else -100."""
    rows, labels = [], []
    for sample in samples:
        prompt = tokenizer(sample.prompt)["input_ids"]
        answer = [*tokenizer(sample.answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        rows.append([*prompt, *answer][-max_length:])
        labels.append([*[IGNORED] * len(prompt), *answer][-max_length:])
    return rows, labels


def trained_tokenizer(data: Path, size: int = 16_000) -> PreTrainedTokenizerFast:
    """Byte-level BPE learned from these very texts, for models without weights: no file, no network."""
    special = ["<pad>", "<bos>", "<eos>", "<unk>"]
    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator((text for pair in read(data) for text in pair), trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )
