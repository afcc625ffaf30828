"""Code switching: words are replaced by their translations, which the parallel text itself gives."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.languages import has_spaces
from xalign.config.parts import TransformConfig
from xalign.data.dictionaries import dictionary_file, missing_dictionaries
from xalign.data.transforms.base import Setup, Side, Transform
from xalign.data.words import in_case_of, with_words

if TYPE_CHECKING:
    import numpy as np

    from xalign.config.schema import Config as RunConfig
    from xalign.data.instructions.base import InstructionSample
    from xalign.data.sampling import Pair

log = logging.getLogger(__name__)


class CodeSwitch(Transform):
    """Replaces words of a sentence by their translations into the pair's other language.

    Random aligned substitution (Lin et al., EMNLP 2020, mRASP) and code-switching restoration (Zan et al.,
    arXiv 2204.07834) take their translations from dictionaries, which can be given; otherwise they are mined
    from the training pairs: words that occur in the same pairs so often that each is the other's only best
    match by the Dice coefficient (Smadja et al. 1996; mutual best matches as in Melamed's competitive
    linking, 2000). That finds translations of frequent words with few senses, one each, and nothing for
    others; with little text, or of words that always come together, some are wrong. Inflection is not looked
    at: what is mined is what is put in, in the case of the word that it replaces.

    Of a pair, words of the source become words of the target's language, which then stand on both sides: the
    pair is easier to match. Of an instruction sample, words of the prompt's input change: into the answer's
    language, or where that is the prompt's own, into the pivot's or a target's. What asks for the answer, the
    answer itself, and texts to be continued stay. Languages that are written without spaces stay as they are,
    and no words of theirs are put in.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(TransformConfig):
        probability: Annotated[float, Field(ge=0, le=1)] = 0.3
        """Probability to be replaced, of each word that a translation was mined for."""
        span: Annotated[float, Field(ge=1)] = 1.0
        """Words that are replaced one after the other, on average: 1 draws each word by itself, more draws
        where a run begins and its length (1 + Poisson). Words without a translation are passed over."""
        several: bool = False
        """Whether each word of the pivot goes into a language drawn anew; false: all into one."""
        side: Side = Side.source
        """Which side of a pair changes: the `source` (in the pivot language), the `target`, or `both`."""
        keep_capitals: bool = False
        """Whether words that begin with a capital stay: names, and the beginnings of sentences."""
        dictionary: str | None = None
        """Folder of dictionaries: a file `<pivot>-<target>.txt` a language, a word and a translation a line,
        with a space or tab between them (as those of MUSE); null: mined from the training pairs."""
        occurrences: Annotated[int, Field(ge=2)] = 4
        """Mined: fewest pairs that a word and its translation must occur in together."""
        score: Annotated[float, Field(gt=0, le=1)] = 0.6
        """Mined: least Dice coefficient of a word and its translation, 1 where they occur in the same pairs
        only."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            pivot, targets = config.languages.pivot, config.languages.targets
            if not (has_spaces(pivot) and any(map(has_spaces, targets))):
                what = "needs a pivot and at least one target that are written with spaces"
                yield "kind", f"{what} (languages.pivot={pivot}, languages.targets={', '.join(targets)})"
            if self.dictionary is not None:
                yield from missing_dictionaries(self.dictionary, pivot, filter(has_spaces, targets))

    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.into: dict[str, Mapping[str, str]] = {}
        """Target -> word of the pivot -> its translation, of several in a dictionary the first."""
        self.out_of: dict[str, Mapping[str, str]] = {}
        """Target -> word of it -> its translation into the pivot."""
        for target in setup.targets:
            found: Mapping[str, str] = {}
            if has_spaces(setup.pivot) and has_spaces(target):
                found = self._translations(setup, target)
            self.into[target] = found
            self.out_of[target] = {y.lower(): x for x, y in reversed(list(found.items()))}
        counts = ", ".join(f"{target} {len(found)}" for target, found in self.into.items())
        log.info("code switching: words with a translation: %s", counts)

    def _translations(self, setup: Setup, target: str) -> dict[str, str]:
        from xalign.data.word_pairs import dictionary_words, mined_word_pairs

        config = self.config
        if config.dictionary is None:
            pairs = setup.corpus.pairs(setup.pivot, target)
            return mined_word_pairs(pairs, config.occurrences, config.score)
        words = dictionary_words(dictionary_file(config.dictionary, setup.pivot, target))
        # The first of several comes last, and so stays.
        return {word.lower(): translation for word, translation in reversed(words) if word != translation}

    def pair(self, pair: "Pair", rng: "np.random.Generator") -> "Pair":
        source, target, language = pair.source, pair.target, pair.target_language
        if self.config.side is not Side.target:
            source = self._switched(source, self.into[language], rng)
        if self.config.side is not Side.source:
            target = self._switched(target, self.out_of[language], rng)
        return replace(pair, source=source, target=target)

    def instruction(self, sample: "InstructionSample", rng: "np.random.Generator") -> "InstructionSample":
        if sample.input is None:
            return sample
        translations = self._of_prompt(sample, rng)
        given = self._switched(sample.prompt[slice(*sample.input)], translations, rng)
        return sample.with_input(given)

    def _of_prompt(self, sample: "InstructionSample", rng: "np.random.Generator") -> Mapping[str, str]:
        asked, answered = sample.prompt_language, sample.answer_language
        if asked != self.setup.pivot:
            return self.out_of.get(asked, {})
        other = answered if answered != asked else str(rng.choice(self.setup.targets))
        return self.into.get(other, {})

    def _translation(
        self, word: str, translations: Mapping[str, str], rng: "np.random.Generator"
    ) -> str | None:
        if self.config.several and translations in self.into.values():
            known = [own[word.lower()] for own in self.into.values() if word.lower() in own]
            return known[int(rng.integers(len(known)))] if known else None
        return translations.get(word.lower())

    def _switched(self, text: str, translations: Mapping[str, str], rng: "np.random.Generator") -> str:
        left, share, span = 0, self.config.probability, self.config.span
        # Of words in runs of this mean length that begin so often, the share is the probability.
        beginning = share / (span * (1 - share) + share)

        def switched(word: str) -> str:
            nonlocal left
            found = self._translation(word, translations, rng)
            if found is None or (self.config.keep_capitals and word[0].isupper()):
                return word
            if left == 0:
                if rng.random() >= beginning:
                    return word
                if span > 1:
                    left = 1 + int(rng.poisson(span - 1))
            left = max(0, left - 1)
            return in_case_of(word, found)

        return with_words(text, switched)


TRANSFORM = CodeSwitch
