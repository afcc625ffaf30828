"""How a question is put to a model, after demonstrations: as plain text, or by its tokenizer's chat template.

Both are lm-evaluation-harness 0.4.13's (`ConfigurableTask.fewshot_context`, `construct_requests`): without
options, `--apply_chat_template`, and that with `--fewshot_as_multiturn false`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xalign.base.files import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xalign.config.schema import BenchmarkConfig


@dataclass(frozen=True)
class Shown:
    """A demonstration: what stands between question and answer, and what after the answer, is of plain text
    alone."""

    question: str
    answer: str
    delimiter: str = " "
    end: str = "\n\n"

    @property
    def text(self) -> str:
        """The demonstration as plain text."""
        return self.question + self.delimiter + self.answer + self.end


@dataclass(frozen=True)
class PromptForm:
    """Plain text, or a chat with demonstrations as `turns`; otherwise they stand in the question's turn."""

    chat: bool = False
    turns: bool = True

    def prompt(self, tokenizer: "PreTrainedTokenizerBase", shown: Sequence[Shown], question: str) -> str:
        """What stands before the answer to a question.

        Raises:
            ModelError: the chat template refuses it.
        """
        before = "" if self.chat and self.turns else "".join(own.text for own in shown)
        if not self.chat:
            return before + question
        from xalign.data.chat import Chat

        turns = [(own.question, own.answer) for own in shown] if self.turns else []
        return str(Chat(tokenizer).prompt(turns, before + question))

    def answer(self, text: str, delimiter: str = " ") -> str:
        """An answer as it follows a prompt: in a chat nothing parts the two."""
        return text if self.chat else delimiter + text

    def ended(self, tokenizer: "PreTrainedTokenizerBase", text: str, end: str = "\n") -> str:
        """The same with what ends it, in a chat the template's mark."""
        if not self.chat:
            return self.answer(text) + end
        from xalign.data.chat import Chat

        return text + Chat(tokenizer).ending

    @property
    def key(self) -> dict[str, object]:
        """What figures depend on; the template comes with the model (`template_key`)."""
        return {"chat": ("turns" if self.turns else "one turn")} if self.chat else {}


PLAIN = PromptForm()


def prompt_form(benchmark: "BenchmarkConfig") -> PromptForm:
    """How a benchmark puts its questions."""
    return PromptForm(benchmark.chat, benchmark.fewshot_as_multiturn is not False)


def template_key(tokenizer: "PreTrainedTokenizerBase") -> str:
    """A hash that differs where chat templates do, or what they write: some write the day."""
    from xalign.data.chat import Chat

    chat = Chat(tokenizer)
    return digest([tokenizer.get_chat_template(), chat.prompt([("a", "b")], "c")])
