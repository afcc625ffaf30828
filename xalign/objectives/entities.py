"""Entities: a sentence names an entity as another language does, and the name is predicted."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.config.parts import ObjectiveConfig
from xalign.data.instructions.base import InstructionSample
from xalign.objectives.answered import Answered
from xalign.objectives.base import Needs, Setup

if TYPE_CHECKING:
    import numpy as np

    from xalign.config.schema import Config as RunConfig
    from xalign.data.names import Span
    from xalign.data.step import Part, StepData

STREAM = 8
"""Keeps the random numbers of these sentences apart from those of others."""
IGNORED = -100
"""The label of a token that is not supervised (`data.collate`, which imports torch)."""


class Entities(Answered):
    """Teaches the model to name an entity in another language in the middle of a sentence.

    Every entity of a pivot sentence becomes its name in one other language, drawn a sentence, and the names
    alone are predicted (EntityCS, Whitehouse et al., Findings of EMNLP 2022, arXiv 2210.12540, entity
    prediction). Entities are those of a table of names, or words that the pivot writes with a capital inside
    sentences and that have a mined translation. Runs all blocks, and the head at the names' tokens.

    Published: entities that Wikipedia links to, their names in 93 languages from Wikidata, masked entities of
    an encoder. Here: a decoder predicts a name from what stands before it.

    Take it when names matter, and there is a table of them: in the default data six words are mined, in 40 of
    4,516 sentences, and not all are names.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        names: str | None = None
        """Table (TSV) of names: columns are languages, rows entities; null: mined from the training pairs."""
        batch_size: Annotated[int, Field(gt=0)] = 8
        """Sentences a step and rank."""
        max_length: Annotated[int, Field(ge=8)] = 64
        """Tokens kept of a sentence."""
        occurrences: Annotated[int, Field(ge=2)] = 4
        """Mined: fewest pairs that a word and its translation must occur in together."""
        score: Annotated[float, Field(gt=0, le=1)] = 0.6
        """Mined: least Dice coefficient of a word and its translation."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            if self.names is not None and not Path(self.names).expanduser().is_file():
                yield "names", "is not there"

    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self._names: list[dict[str, str]] = []
        self._found: list[tuple[str, list[Span]]] = []
        """Sentences of the pivot with entities."""

    @property
    def needs(self) -> Needs:
        return Needs(self.setup.depth, self.config.batch_size * self.config.max_length, head=True)

    def sample(self, data: "StepData") -> "Part":
        if not self._found:
            self._read(data)
        pairs, rng, samples = data.material.pairs, data.rng(STREAM), []
        for index in range(self.config.batch_size * data.ranks):
            text, spans = self._found[int(rng.integers(len(self._found)))]
            made = switched_entities(text, spans, self._names, pairs.pivot, rng)
            if index % data.ranks == data.rank:
                samples.append(made)
        ids, labels = data.instruction_rows(samples, self.config.max_length)
        for row in labels:
            row[-1] = IGNORED  # the sentence goes on
        return data.part(ids, labels)

    def _read(self, data: "StepData") -> None:
        from xalign.base.errors import ConfigError
        from xalign.data.names import mined_names, names_of, with_entities
        from xalign.data.word_pairs import mined_word_pairs

        config, pairs = self.config, data.material.pairs
        texts = [text for text in pairs.corpus.texts(pairs.pivot) if text is not None]
        if config.names is not None:
            names = names_of(Path(config.names).expanduser())
        else:
            translations = {
                target: mined_word_pairs(
                    pairs.corpus.pairs(pairs.pivot, target), config.occurrences, config.score
                )
                for target in pairs.targets
            }
            names = mined_names(texts, translations, pairs.pivot)
        spoken = {pairs.pivot, *pairs.targets}
        names = [{code: name for code, name in own.items() if code in spoken} for own in names]
        self._names = [own for own in names if pairs.pivot in own and len(own) > 1]
        self._found = list(with_entities(texts, [own[pairs.pivot] for own in self._names]))
        if not self._found:
            what = "no sentence of the training text names an entity that is known in another language"
            raise ConfigError([f"loss.objectives: entities finds {what}; give its option `names`"])


def switched_entities(
    text: str, spans: list["Span"], names: list[dict[str, str]], pivot: str, rng: "np.random.Generator"
) -> InstructionSample:
    """The text up to its last entity, every entity by its name in one other language as far as it has one
    there; the names are what is answered."""
    languages = sorted({code for _, _, number in spans for code in names[number]} - {pivot})
    language = languages[int(rng.integers(len(languages)))]
    parts, start = [], 0
    for first, beyond, number in spans:
        # The space before a name begins it.
        kept = text[start:first]
        before = kept.rstrip(" ")
        name = names[number].get(language, text[first:beyond])
        parts.append((before, kept[len(before) :] + name))
        start = beyond
    *earlier, (prompt, answer) = parts
    return InstructionSample(prompt, answer, pivot, language, None, tuple(earlier))


OBJECTIVE = Entities
