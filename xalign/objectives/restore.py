"""Restoring: a sentence is written back from one whose words were replaced by translations."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.languages import english_name, has_spaces
from xalign.config.parts import ObjectiveConfig
from xalign.data.instructions.base import InstructionSample
from xalign.objectives.answered import Answered
from xalign.objectives.base import Needs, Setup

if TYPE_CHECKING:
    import numpy as np

    from xalign.config.schema import Config as RunConfig
    from xalign.data.step import Part, StepData

STREAM = 6
"""Keeps the random numbers of these sentences apart from those of others."""


class Restore(Answered):
    """Teaches the model to write a sentence back from one that is code-switched.

    Spans of words, 35 % of a sentence, become their translations; the model is asked for the sentence in
    its own language (code-switching restore, CSR4mBART, Zan et al., arXiv 2204.07834, section 3). The
    lengths of spans are drawn from a Poisson distribution. Translations are mined from the training pairs
    as for `code_switch`; words without one stay. Cross-entropy on the sentence and the end of sequence.
    Runs all blocks, and the head at these tokens.

    Published: an encoder and decoder, dictionaries of MUSE, spans of 3.5 words in the mean, before
    fine-tuning on translation. Here: a prompt, in both languages of a pair, and mined translations.

    Mined words are few: of the default data's words 7 to 15 % are replaced, and a third (French) to two
    thirds (Estonian) of the sentences stay as they are.

    Take it when translation is what the model is for, and words are what it gets wrong.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        batch_size: Annotated[int, Field(gt=0)] = 8
        """Sentences a step and rank."""
        max_length: Annotated[int, Field(ge=8)] = 128
        """Tokens kept of a sentence with what was made of it."""
        share: Annotated[float, Field(gt=0, lt=1)] = 0.35
        """Share of a sentence's words that spans cover."""
        span: Annotated[float, Field(gt=0)] = 3.5
        """Mean length of a span, in words."""
        occurrences: Annotated[int, Field(ge=2)] = 4
        """Fewest pairs that a word and its translation must occur in together."""
        score: Annotated[float, Field(gt=0, le=1)] = 0.6
        """Least Dice coefficient of a word and its translation."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            pivot, targets = config.languages.pivot, config.languages.targets
            if not (has_spaces(pivot) and any(map(has_spaces, targets))):
                what = "needs a pivot and at least one target that are written with spaces"
                yield "kind", f"{what} (languages.pivot={pivot}, languages.targets={', '.join(targets)})"

    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self._into: dict[str, dict[str, str]] = {}
        """Target -> word of the pivot -> its translation."""

    @property
    def needs(self) -> Needs:
        tokens = self.config.batch_size * self.config.max_length
        return Needs(self.setup.depth, tokens, head=True)

    def sample(self, data: "StepData") -> "Part":
        from xalign.data.sampling import text_of
        from xalign.data.word_pairs import mined_word_pairs

        pairs, rng, samples = data.material.pairs, data.rng(STREAM), []
        targets = [target for target in pairs.targets if has_spaces(target)]
        for index in range(self.config.batch_size * data.ranks):
            target = targets[index % len(targets)]
            if target not in self._into:
                own = pairs.corpus.pairs(pairs.pivot, target)
                self._into[target] = mined_word_pairs(own, self.config.occurrences, self.config.score)
            row = int(rng.choice(pairs.rows[target]))
            into = self._into[target]
            language, translations = (
                (pairs.pivot, into) if rng.random() < 0.5 else (target, {y: x for x, y in into.items()})
            )
            text = text_of(pairs.corpus, language, row)
            given = switched(text, translations, self.config.share, self.config.span, rng)
            if index % data.ranks == data.rank:
                samples.append(
                    InstructionSample(
                        f"{given} {english_name(language)}:", f" {text}", language, language, (0, len(given))
                    )
                )
        return data.part(*data.instruction_rows(samples, self.config.max_length))


def switched(
    text: str, translations: "dict[str, str]", share: float, span: float, rng: "np.random.Generator"
) -> str:
    """The text, in which spans of words that cover `share` of them are replaced, as far as there are
    translations."""
    from xalign.data.words import in_case_of, with_words, words_in

    count = words_in(text)
    covered: set[int] = set()
    while count and len(covered) < round(share * count):
        length = min(max(1, int(rng.poisson(span))), round(share * count) - len(covered))
        start = int(rng.integers(count))
        covered |= set(range(start, min(count, start + length)))
    number = iter(range(count))

    def change(word: str) -> str:
        found = translations.get(word.lower()) if next(number) in covered else None
        return word if found is None else in_case_of(word, found)

    return with_words(text, change)


OBJECTIVE = Restore
