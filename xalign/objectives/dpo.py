"""DPO across languages: the right answer in the language that is asked for is preferred."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.data.instructions.base import InstructionSample
from xalign.data.preferences import Preference, preferences_of
from xalign.objectives.answers import STREAM, AnswerObjective, Question
from xalign.objectives.base import Figures, Rows, Setup

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.step import Part, StepData


class Dpo(AnswerObjective):
    """Prefers the answer in the language that is asked for to one in the language of the question.

    -log sigmoid(beta (log p(chosen) / p_ref(chosen) - log p(rejected) / p_ref(rejected))), the model before
    training as reference (Rafailov et al., NeurIPS 2023, equation 7), where question and answer are of
    different languages (xLLMs-100, arXiv 2406.01771, of which the abstract was read). Questions are those of
    the parallel text, into and out of the pivot: chosen is the translation; rejected is the question's own
    text, or the translation of another sentence. Runs all blocks, those of the model before training, and the
    head at the answers' tokens.

    Published: preferences of people and of models, in 30 languages; beta 0.1. Here: preferences that parallel
    text gives by itself, or those of a file.

    Take it when a model that knows the answer gives it in the wrong language.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AnswerObjective.Config):
        beta: Annotated[float, Field(gt=0)] = 0.1
        """How much is lost by leaving the model before training: the smaller, the further it may go."""
        wrong_language: Annotated[float, Field(ge=0, le=1)] = 0.5
        """Share of rejected answers that are in the question's language; the others are another sentence's
        translation."""
        preferences: str | None = None
        """File of preferences (JSON, lines or an array) with `prompt`, `chosen` and `rejected`, texts or
        conversations, in the place of those that the parallel text gives."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            if self.preferences is None:
                yield from super().problems(config)
            elif not Path(self.preferences).expanduser().is_file():
                yield "preferences", "is not there"

    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self._preferences: list[Preference] = []

    def sample(self, data: "StepData") -> "Part":
        if self.config.preferences is None:
            return super().sample(data)
        if not self._preferences:
            self._preferences = preferences_of(Path(self.config.preferences).expanduser())
        own = data.drawn(self._preferences, self.config.batch_size, STREAM)
        pivot = self.setup.languages[0]
        sides = [
            InstructionSample(one.prompt, f" {getattr(one, side)}", pivot, pivot)
            for side in ("chosen", "rejected")
            for one in own
        ]
        return data.part(*data.instruction_rows(sides, self.config.max_length), sides=self.answers)

    def texts_of(self, question: Question, pivot: str) -> list[InstructionSample]:
        pair, other = question.pair, question.other
        language = pair.target_language
        # The upper half of the numbers asks into the pivot.
        into_pivot, place = divmod(question.drawn * 2, 1)
        if into_pivot:
            text, chosen, source, target, wrong = pair.target, pair.source, language, pivot, other.source
        else:
            text, chosen, source, target, wrong = pair.source, pair.target, pivot, language, other.target
        rejected = text if place < self.config.wrong_language else wrong
        return [question.asked(text, answer, source, target) for answer in (chosen, rejected)]

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        from xalign.objectives.kernels.preferences import dpo

        chosen_N2, rejected_N2 = vectors
        losses_N, margins_N = dpo(chosen_N2, rejected_N2, self.config.beta)
        right = (margins_N > 0).to(losses_N.dtype).mean()
        return losses_N.mean(), {"accuracy": right, "margin": margins_N.mean()}


OBJECTIVE = Dpo
