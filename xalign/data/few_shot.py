"""Few-shot prompts from translation pairs, in the forms in which models are asked to translate."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xalign.base.languages import english_name

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Form:
    """How a sentence is asked for; the answer, which begins with the space before it, ends with `end`."""

    question: str
    end: str = "\n"

    def ask(self, text: str, source: str, target: str) -> str:
        """The question for the translation of a text, from one language (code) into another."""
        return self.question.format(x=text, source=english_name(source), target=english_name(target))

    def place(self, text: str, source: str) -> tuple[int, int]:
        """Where in the question the text stands: its first character, one past the last."""
        start = len(self.question.partition("{x}")[0].format(source=english_name(source)))
        return start, start + len(text)

    def answer(self, text: str) -> str:
        return f" {text}{self.end}"


EQUALS = Form("{x} =")
IN_WORDS = Form("{x} Translate into {target}:")
FORMS = (EQUALS, IN_WORDS, Form("{source}: {x}\n{target}:", "\n\n"))


def drawn_form(rng: "np.random.Generator") -> Form:
    return FORMS[int(rng.integers(len(FORMS)))]


def few_shot_turns(
    pairs: Sequence[tuple[str, str]], source: str, target: str, form: Form
) -> list[tuple[str, str]]:
    """The same as turns of a conversation: each pair's question, and its translation."""
    return [(form.ask(x, source, target), y) for x, y in pairs]


def few_shot_prompt(pairs: Sequence[tuple[str, str]], source: str, target: str, form: Form) -> str:
    """Pairs (text, translation) one after another."""
    return "".join(form.ask(x, source, target) + form.answer(y) for x, y in pairs)
