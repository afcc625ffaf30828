"""Instructions made from translation pairs: to translate a sentence, or to continue it."""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from xalign.base.languages import has_spaces
from xalign.data.few_shot import EQUALS, IN_WORDS, drawn_form
from xalign.data.instructions.base import STREAM, InstructionSample, InstructionSampler, part_of_rank

if TYPE_CHECKING:
    import numpy as np

    from xalign.config.text import InstructionsConfig, LanguagesConfig
    from xalign.data.parallel import ParallelCorpus


class TranslationInstructions:
    """Instructions made from translation pairs.

    A cross-lingual sample is `{x} Translate into {language}: {y}` or `{x} = {y}`; any other is one
    sentence of one language to be continued from its middle.
    """

    def __init__(
        self, corpus: "ParallelCorpus", languages: "LanguagesConfig", config: "InstructionsConfig", seed: int
    ) -> None:
        from xalign.data.sampling import language_probabilities

        self.pivot, self.targets = languages.pivot, list(languages.targets)
        self.config, self.seed = config, seed
        self.corpus = corpus
        self.rows = {t: corpus.rows_with(self.pivot, t) for t in self.targets}
        self.mixtures = {t: corpus.mixture(rows) for t, rows in self.rows.items()}
        counts = [len(self.rows[t]) for t in self.targets]
        self.probabilities = language_probabilities(counts, languages.temperature)

    def batch(self, step: int, size: int, rank: int = 0, ranks: int = 1) -> list[InstructionSample]:
        return part_of_rank(self._draw, [self.seed, step, STREAM], size, rank, ranks)

    def texts(self, language: str) -> Iterator[str]:
        yield from ()

    def _draw(self, rng: "np.random.Generator") -> InstructionSample:
        target = str(rng.choice(self.targets, p=self.probabilities))
        rows = self.rows[target]
        row = int(rows[self.mixtures[target].one(rng)])
        to_pivot, cross = rng.random() < self.config.p_swap, rng.random() < self.config.p_cross
        equals = rng.random() < self.config.equals_fraction
        source, answer = (target, self.pivot) if to_pivot else (self.pivot, target)
        x, y = self.corpus.texts(source)[row], self.corpus.texts(answer)[row]
        assert x is not None
        assert y is not None
        if not cross and len(y) > 1:  # one character leaves nothing to continue
            return _continuation(y, answer)
        shots = int(rng.integers(self.config.shots + 1)) if self.config.shots else 0
        if shots:
            return self._few_shot(rng, rows, row, shots, source, answer)
        prompt = (EQUALS if equals else IN_WORDS).ask(x, source, answer)
        return InstructionSample(prompt, f" {y}", source, answer, (0, len(x)))

    def _few_shot(
        self, rng: "np.random.Generator", rows: "np.ndarray", row: int, shots: int, source: str, answer: str
    ) -> InstructionSample:
        """A translation after up to `shots` others, all in one form."""
        form = drawn_form(rng)
        chosen = rng.choice(rows, size=min(shots + 1, len(rows)), replace=False)
        numbers = [*[int(other) for other in chosen if other != row][:shots], row]
        pairs = list(zip(self._texts(source, numbers), self._texts(answer, numbers), strict=True))
        *before, (prompt, last) = [(form.ask(x, source, answer), form.answer(y)) for x, y in pairs]
        given = form.place(pairs[-1][0], source)
        return InstructionSample(prompt, last, source, answer, given, tuple(before))

    def _texts(self, language: str, rows: Sequence[int]) -> list[str]:
        texts = self.corpus.texts(language)
        return [text for row in rows if (text := texts[row]) is not None]


def _continuation(text: str, language: str) -> InstructionSample:
    words = text.split(" ")
    if has_spaces(language) and len(words) > 1:
        middle = len(" ".join(words[: len(words) // 2]))
    else:
        middle = len(text) // 2
        # A vowel sign belongs to the letter before it.
        while middle < len(text) - 1 and unicodedata.category(text[middle]).startswith("M"):
            middle += 1
    # Scripts without spaces between words have some between sentences.
    while middle > 1 and text[middle - 1] == " ":
        middle -= 1
    return InstructionSample(text[:middle], text[middle:], language, language)


class _Translation:
    """Nothing to read: the corpus is there already."""

    def problems(self, config: "InstructionsConfig") -> Iterator[str]:
        yield from ()

    def load(
        self,
        config: "InstructionsConfig",
        languages: "LanguagesConfig",
        corpus: "ParallelCorpus",
        seed: int,
    ) -> InstructionSampler:
        return TranslationInstructions(corpus, languages, config, seed)


SOURCE = _Translation()
