"""Instruction samples of cross-lingual instruction following (CIF), a function of (seed, step).

Li et al., NAACL 2024, section 3.2: an instruction in language s is answered in language t; with
probability `p_cross` s and t differ, and then one side is the pivot.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xalign.choices import InstructionSource
from xalign.config import InstructionsConfig, LanguagesConfig
from xalign.data.parallel import ParallelCorpus
from xalign.data.readers import bactrian, xquad
from xalign.data.rows import InstructionRow
from xalign.data.sampling import language_probabilities, text_of
from xalign.errors import ConfigError
from xalign.languages import english_name, has_spaces

# Keeps the streams of pairs and of instructions apart, which share seed and step.
_STREAM = 1


@dataclass(frozen=True)
class InstructionSample:
    """A prompt and the answer that is supervised. The space between them starts the answer."""

    prompt: str
    answer: str
    prompt_language: str
    answer_language: str


class InstructionSampler(Protocol):
    """Draws the samples of a step."""

    def batch(self, step: int, size: int, rank: int = 0, ranks: int = 1) -> list[InstructionSample]:
        """This rank's `size` samples of the step's global batch."""
        ...

    def texts(self) -> Mapping[str, Sequence[str]]:
        """Language -> the texts that samples are made of, apart from the corpus."""
        ...


def load_instructions(
    config: InstructionsConfig, languages: LanguagesConfig, corpus: ParallelCorpus, seed: int
) -> InstructionSampler:
    """The sampler for a config; `corpus` is the training split that instructions may be made from.

    Raises:
        ConfigError: neither a path nor a hub id, or a language without instructions.
        DataError, ArtifactError: the source cannot be read.
    """
    wanted = [languages.pivot, *languages.targets]
    match config.source:
        case InstructionSource.parallel:
            return TranslationInstructions(corpus, languages, config, seed)
        case InstructionSource.bactrian:
            return CrossLingualInstructions(list(bactrian.read(config, wanted)), languages, config, seed)
        case InstructionSource.xquad:
            return CrossLingualInstructions(list(xquad.read(config, wanted)), languages, config, seed)


class TranslationInstructions:
    """Instructions made from translation pairs.

    A cross-lingual sample is `{x} Translate into {language}: {y}` or `{x} = {y}`; any other is one
    sentence of one language to be continued from its middle.
    """

    def __init__(
        self, corpus: ParallelCorpus, languages: LanguagesConfig, config: InstructionsConfig, seed: int
    ) -> None:
        self.pivot, self.targets = languages.pivot, list(languages.targets)
        self.config, self.seed = config, seed
        self.corpus = corpus
        self.rows = {t: corpus.rows_with(self.pivot, t) for t in self.targets}
        counts = [len(self.rows[t]) for t in self.targets]
        self.probabilities = language_probabilities(counts, languages.temperature)

    def batch(self, step: int, size: int, rank: int = 0, ranks: int = 1) -> list[InstructionSample]:
        return _part_of_rank(self._draw, [self.seed, step, _STREAM], size, rank, ranks)

    def texts(self) -> Mapping[str, Sequence[str]]:
        return {}  # the corpus's own

    def _draw(self, rng: np.random.Generator) -> InstructionSample:
        target = str(rng.choice(self.targets, p=self.probabilities))
        rows = self.rows[target]
        row = int(rows[rng.integers(len(rows))])
        to_pivot, cross = rng.random() < self.config.p_swap, rng.random() < self.config.p_cross
        equals = rng.random() < self.config.equals_fraction
        source, answer = (target, self.pivot) if to_pivot else (self.pivot, target)
        text = {language: text_of(self.corpus, language, row) for language in (self.pivot, target)}
        if not cross and len(text[answer]) > 1:  # one character leaves nothing to continue
            return _continuation(text[answer], answer)
        prompt = f"{text[source]} =" if equals else f"{text[source]} Translate into {english_name(answer)}:"
        return InstructionSample(prompt, f" {text[answer]}", source, answer)


def _part_of_rank(
    draw: Callable[[np.random.Generator], InstructionSample],
    seed: list[int],
    size: int,
    rank: int,
    ranks: int,
) -> list[InstructionSample]:
    """The global batch of `size * ranks` samples drawn from the seed, and of it this rank's part."""
    rng = np.random.default_rng(seed)
    drawn = [draw(rng) for _ in range(size * ranks)]
    return drawn[rank * size : (rank + 1) * size]


def _continuation(text: str, language: str) -> InstructionSample:
    words = text.split(" ")
    if has_spaces(language) and len(words) > 1:
        middle = len(" ".join(words[: len(words) // 2]))
    else:
        middle = len(text) // 2
        # A vowel sign belongs to the letter before it.
        while middle < len(text) - 1 and unicodedata.category(text[middle]).startswith("M"):
            middle += 1
    return InstructionSample(text[:middle], text[middle:], language, language)


class CrossLingualInstructions:
    """`{instruction} {input} Answer in {language}: {output}` from rows that exist in several languages."""

    def __init__(
        self,
        rows: Sequence[InstructionRow],
        languages: LanguagesConfig,
        config: InstructionsConfig,
        seed: int,
    ) -> None:
        self.pivot, self.config, self.seed = languages.pivot, config, seed
        self.targets = list(languages.targets)
        self.rows = {t: [r for r in rows if {self.pivot, t} <= r.turns.keys()] for t in self.targets}
        missing = [t for t in self.targets if not self.rows[t]]
        if missing:
            have = sorted({code for row in rows for code in row.turns})
            raise ConfigError(
                f"instructions: no instruction is in both {self.pivot} and {t} "
                f"(languages there: {', '.join(have)})"
                for t in missing
            )
        counts = [len(self.rows[t]) for t in self.targets]
        self.probabilities = language_probabilities(counts, languages.temperature)

    def batch(self, step: int, size: int, rank: int = 0, ranks: int = 1) -> list[InstructionSample]:
        return _part_of_rank(self._draw, [self.seed, step, _STREAM], size, rank, ranks)

    def texts(self) -> Mapping[str, Sequence[str]]:
        found: dict[str, dict[str, None]] = {}
        for row in (row for rows in self.rows.values() for row in rows):
            for code in {self.pivot, *self.targets} & row.turns.keys():
                turn = row.turns[code]
                own = (turn.instruction, turn.input, turn.output)
                found.setdefault(code, {}).update(dict.fromkeys(text for text in own if text))
        return {code: list(texts) for code, texts in found.items()}

    def _draw(self, rng: np.random.Generator) -> InstructionSample:
        target = str(rng.choice(self.targets, p=self.probabilities))
        rows = self.rows[target]
        turns = rows[rng.integers(len(rows))].turns
        cross, swap = rng.random() < self.config.p_cross, rng.random() < self.config.p_swap
        source, answer = (target, self.pivot) if swap else (self.pivot, target)
        if not cross:
            source = answer
        asked = turns[source]
        words = [asked.instruction, asked.input, f"Answer in {english_name(answer)}:"]
        prompt = " ".join(word.strip() for word in words if word.strip())
        return InstructionSample(prompt, f" {turns[answer].output.strip()}", source, answer)
