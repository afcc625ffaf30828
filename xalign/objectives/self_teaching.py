"""Self-teaching: the model answers a question as it answers the same question in the pivot language."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.config.parts import ObjectiveConfig
from xalign.data.few_shot import drawn_form
from xalign.data.instructions.base import InstructionSample
from xalign.objectives.base import Needs, Setup, SumObjective, Work

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.step import Part, StepData
    from xalign.objectives.passes import Pass

STREAM = 3
"""Keeps the random numbers of these questions apart from those of others."""
IGNORED = -100
"""The label of a token that is not supervised (`data.collate`, which imports torch)."""


class SelfTeaching(SumObjective):
    """Teaches the model to answer a question in one language as it answers it in the pivot.

    T^2 KL(teacher || student) of next-token distributions at the tokens of the answer: the teacher is the
    model before training, which reads the question in the pivot, the student reads it in another language
    (FILTER, Fang et al., AAAI 2021, arXiv 2009.05166, equation 6). Questions ask for the translation of a
    sentence that is there in three languages, out of the pivot and out of another. The student runs all
    blocks, and the head at the answers' tokens; so does the model before training on the pivot's questions.

    Published: classification, sequence labels and answer spans of a masked language model, beside their
    labels' cross-entropy at 1 - alpha; its code takes the mean over classes too, which makes the term
    vanish. Here: the sum over words, mean over tokens; labels are `instruction`'s.

    Take it when the model does a task well in the pivot and badly in others, and there is text in three
    languages or more.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        temperature: Annotated[float, Field(gt=0)] = 1.0
        """T, by which both sides' logits are divided."""
        batch_size: Annotated[int, Field(gt=0)] = 8
        """Questions a step and rank."""
        max_length: Annotated[int, Field(ge=8)] = 128
        """Tokens kept of a question and its answer."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            if len(config.languages.targets) < 2:
                yield "kind", f"needs two targets or more; languages.targets={config.languages.targets}"

    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self._taught: list[Tensor] = []
        """Of each bucket of the step, the teacher's final hidden states at the answers' tokens."""
        self._rows: list[tuple[str, str, np.ndarray]] | None = None

    @property
    def needs(self) -> Needs:
        tokens = self.config.batch_size * self.config.max_length
        return Needs(self.setup.depth, tokens, head=True, reference=True)

    def sample(self, data: "StepData") -> "Part":
        asked = list(self._drawn(data))
        student, teacher = (
            data.instruction_rows([pair[side] for pair in asked], self.config.max_length) for side in (0, 1)
        )
        for own, other in zip(student[1], teacher[1], strict=True):
            keep_common_end(own, other)
        return data.part(*student, beside=teacher)

    def _drawn(self, data: "StepData") -> Iterator[tuple[InstructionSample, InstructionSample]]:
        """This rank's questions of the step: in a language, and in the pivot, for the same translation into a
        third."""
        from xalign.data.sampling import text_of

        pairs, rng = data.material.pairs, data.rng(STREAM)
        self._rows = self._rows or rows_in_three(pairs.rows)
        for index in range(self.config.batch_size * data.ranks):
            asked, answered, rows = self._rows[int(rng.integers(len(self._rows)))]
            row, form = int(rows[rng.integers(len(rows))]), drawn_form(rng)
            if index % data.ranks != data.rank:
                continue
            answer = form.answer(text_of(pairs.corpus, answered, row))
            made = []
            for language in (asked, pairs.pivot):
                text = text_of(pairs.corpus, language, row)
                prompt, place = form.ask(text, language, answered), form.place(text, language)
                made.append(InstructionSample(prompt, answer, language, answered, place))
            yield made[0], made[1]

    def work(self, part: "Part") -> Work:
        positions = sum(tokens.supervised_count for tokens in part.texts.buckets)
        return Work(self.setup.depth, positions=positions, beside_layer=self.setup.depth)

    def positions(self, run: "Pass", part: "Part") -> "list[Tensor]":
        import torch

        assert part.beside is not None
        found: list[Tensor] = []
        with run.reference() as before:
            for tokens in part.beside.buckets:
                chosen_BT = tokens.predicts
                hidden_SD = before.hidden(tokens, self.setup.depth)[chosen_BT]
                owner_S = tokens.owners(chosen_BT)
                found += [hidden_SD[owner_S == number] for number in range(tokens.size)]
        by_text = [found[place] for place in part.beside.order.tolist()]
        own_number = part.texts.order.argsort().tolist()  # by place in the buckets
        self._taught = []
        for tokens in part.texts.buckets:
            numbers, own_number = own_number[: tokens.size], own_number[tokens.size :]
            self._taught.append(torch.cat([by_text[number] for number in numbers]))
        return [tokens.predicts for tokens in part.texts.buckets]

    def summed(self, run: "Pass", tokens: "Tokens", chosen_BT: "Tensor") -> "Tensor":
        now_SD = run.hidden(tokens, self.setup.depth)[chosen_BT]
        # There is none of the passes that only keep step with other ranks.
        taught_SD = self._taught.pop(0) if self._taught else now_SD.detach()
        temperature = self.config.temperature
        return temperature**2 * run.kl(taught_SD, now_SD, temperature)


def rows_in_three(rows: "Mapping[str, np.ndarray]") -> "list[tuple[str, str, np.ndarray]]":
    """(language, another, the corpus's rows that have both and the pivot), from each language's rows with the
    pivot.

    Raises:
        ConfigError: no row has three languages.
    """
    import numpy as np

    from xalign.base.errors import ConfigError

    shared = [
        (one, other, np.intersect1d(rows[one], rows[other])) for one in rows for other in rows if one != other
    ]
    found = [own for own in shared if len(own[2])]
    if not found:
        raise ConfigError(
            ["loss.objectives: self_teaching needs sentences in three languages; there are none"]
        )
    return found


def keep_common_end(own: list[int], other: list[int]) -> None:
    """Of two rows' labels keep, in place, those from the end that are the same in both.

    The same answer after two prompts is tokenised alike but for its first token, or what was cut off.
    """
    same = 0
    while same < min(len(own), len(other)) and own[-1 - same] == other[-1 - same] != IGNORED:
        same += 1
    for labels in (own, other):
        labels[: len(labels) - same] = [IGNORED] * (len(labels) - same)


OBJECTIVE = SelfTeaching
