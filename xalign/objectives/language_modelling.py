"""Language modelling: the model goes on being trained as it was, on the corpus's sentences."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.config.parts import ObjectiveConfig
from xalign.objectives.answered import Answered
from xalign.objectives.base import Needs

if TYPE_CHECKING:
    from xalign.data.step import Part, StepData

STREAM = 9
"""Keeps the random numbers of these texts apart from those of others."""
SENTENCES = 4
"""Sentences of a text, which is cut to `max_length` tokens."""
SPECIAL = -100
"""The label of a token that is not supervised (`data.collate`, which imports torch)."""


class LanguageModelling(Answered):
    """Trains the model on plain text of the languages: continued pre-training.

    Next-token cross-entropy at every token of texts of several sentences of one language, the pivot's share
    as configured, the languages by turns. Runs all blocks, and the head at every token.

    Published: of every language model; for under-served languages Imani et al. (ACL 2023, Glot500). Here: on
    one side of the parallel text at a time.

    Take it when a language is hardly in the model at all, and as the baseline that every alignment on the
    same text should beat.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        batch_size: Annotated[int, Field(gt=0)] = 8
        """Texts a step and rank."""
        max_length: Annotated[int, Field(ge=8)] = 96
        """Tokens kept of a text."""
        pivot_share: Annotated[float, Field(ge=0, le=1)] = 0.25
        """Share of the texts that are in the pivot."""

    config: Config

    @property
    def needs(self) -> Needs:
        return Needs(self.setup.depth, self.config.batch_size * self.config.max_length, head=True)

    def sample(self, data: "StepData") -> "Part":
        from xalign.data.sampling import text_of

        pairs, rng, texts = data.material.pairs, data.rng(STREAM), []
        for index in range(self.config.batch_size * data.ranks):
            target = pairs.targets[
                (data.step * self.config.batch_size * data.ranks + index) % len(pairs.targets)
            ]
            language = pairs.pivot if rng.random() < self.config.pivot_share else target
            rows = rng.choice(pairs.rows[target], SENTENCES)
            if index % data.ranks == data.rank:
                texts.append(" ".join(text_of(pairs.corpus, language, int(row)) for row in rows))
        ids = data.encode(texts, self.config.max_length)
        special = set(data.material.tokenizer.all_special_ids)
        labels = [[SPECIAL if token in special else token for token in row] for row in ids]
        return data.part(ids, labels)


OBJECTIVE = LanguageModelling
