"""Consistency: the same answer is preferred in whichever language it is asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.objectives.answers import AnswerObjective, Question
from xalign.objectives.base import Figures, Rows

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.data.instructions.base import InstructionSample


class Consistency(AnswerObjective):
    """Makes the model prefer the same of two answers in two languages, without saying which is right.

    |r_1 - o_2 / beta| + |r_2 - beta o_1|: r_i is by how much the log-odds of the two answers in language i
    have changed since before training, o_i those before training (DCO, arXiv 2603.04678): where both are 0,
    each language's log-odds are its own and the other's together. A question is asked for the translation of
    a pair's sentence, into the pivot and out of it; its answers are the translation and that of another
    sentence. Runs all blocks, those of the model before training, and the head at the answers' tokens.

    Published: 5,000 questions with labelled answers in parallel, rate 1e-5. Here: questions that parallel
    text gives by itself.

    Take it when a model knows in one language what it gets wrong in another.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(AnswerObjective.Config):
        batch_size: Annotated[int, Field(gt=0)] = 4
        """Questions a step and rank, each of four texts."""
        beta: Annotated[float, Field(gt=0)] = 1.0
        """How much the pivot's answers are to follow those in the other language: the smaller, the more."""

    config: Config
    answers = 4

    def texts_of(self, question: Question, pivot: str) -> "list[InstructionSample]":
        pair, other = question.pair, question.other
        language = pair.target_language
        return [
            *(question.asked(pair.target, answer, language, pivot) for answer in (pair.source, other.source)),
            *(question.asked(pair.source, answer, pivot, language) for answer in (pair.target, other.target)),
        ]

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        from xalign.objectives.kernels.preferences import log_odds_consistency

        first, second = (vectors[start] - vectors[start + 1] for start in (0, 2))
        losses_N = log_odds_consistency(first, second, self.config.beta)
        agree = (first[:, 0].sign() == second[:, 0].sign()).to(losses_N.dtype).mean()
        return losses_N.mean(), {"agreement": agree}


OBJECTIVE = Consistency
