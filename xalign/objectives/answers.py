"""What objectives on the likelihood of whole answers have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from xalign.config.parts import ObjectiveConfig
from xalign.data.few_shot import Form, drawn_form
from xalign.data.instructions.base import InstructionSample
from xalign.objectives.base import BatchObjective, Needs, Work
from xalign.objectives.pairs import enough_pairs

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.sampling import Pair
    from xalign.data.step import Part, StepData
    from xalign.objectives.passes import Pass

STREAM = 2
"""Keeps the random numbers of questions apart from those of retained texts."""


@dataclass(frozen=True)
class Question:
    """What a question is made of: a pair, another of its language, a form, and a number below 1 by which to
    choose."""

    pair: "Pair"
    other: "Pair"
    form: Form
    drawn: float

    def asked(self, text: str, answer: str, source: str, target: str) -> InstructionSample:
        """The question for a text's translation from one language into another, with an answer."""
        prompt = self.form.ask(text, source, target)
        place = self.form.place(text, source)
        return InstructionSample(prompt, self.form.answer(answer), source, target, place)


class AnswerObjective(BatchObjective):
    """A loss of log-likelihoods of answers, of the model and of the model before training.

    Its vectors are (n, 2): the log-likelihood of each text's answer now, and before. Runs all blocks, and
    those of the model before training, and the head at the answers' tokens.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        batch_size: Annotated[int, Field(gt=0)] = 8
        """Questions a step and rank."""
        max_length: Annotated[int, Field(ge=8)] = 128
        """Tokens kept of a question with an answer."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            yield from (("kind", problem) for problem in enough_pairs(config, 2))

    config: Config
    answers: ClassVar[int] = 2
    """Texts of a question: it is asked so often, each time with another answer, or in another language."""

    @property
    def needs(self) -> Needs:
        tokens = self.answers * self.config.batch_size * self.config.max_length
        return Needs(self.setup.depth, tokens, head=True, reference=True)

    def work(self, part: "Part") -> Work:
        positions = sum(tokens.supervised_count for tokens in part.texts.buckets)
        return Work(self.setup.depth, positions=positions, reference_layer=self.setup.depth)

    def sample(self, data: "StepData") -> "Part":
        made = [
            self.texts_of(question, self.setup.languages[0])
            for question in drawn(data, self.config.batch_size)
        ]
        sides = [text for side in zip(*made, strict=True) for text in side]
        return data.part(*data.instruction_rows(sides, self.config.max_length), sides=self.answers)

    def texts_of(self, question: Question, pivot: str) -> list[InstructionSample]:
        """The question's `answers` texts."""
        raise NotImplementedError

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        import torch

        with run.reference() as before:
            before_N = before.log_likelihoods(tokens)
        return torch.stack([run.log_likelihoods(tokens), before_N], dim=1)


def drawn(data: "StepData", size: int) -> Iterator[Question]:
    """This rank's `size` questions of the step, its languages by turns."""
    rng = data.rng(STREAM)
    for index in range(size * data.ranks):
        share = data.shares[index % len(data.shares)]
        own, other = rng.choice(len(share), 2, replace=False)
        question = Question(share[int(own)], share[int(other)], drawn_form(rng), float(rng.random()))
        if index % data.ranks == data.rank:
            yield question
