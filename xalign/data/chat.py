"""Conversations as a tokenizer's own chat template writes them.

A template writes all special tokens that a conversation needs, the first one of a text included: what it
wrote is tokenised without adding any.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jinja2.exceptions import TemplateError
from transformers import PreTrainedTokenizerBase

from xalign.base.errors import ModelError

Turn = tuple[str, str]
"""A question and its answer."""

_MARKS = re.compile(r"\{%-?\s*generation\b")


class Conversation(str):
    """Text that a chat template wrote: no special tokens are added where it is tokenised."""

    __slots__ = ()


def has_template(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer has a chat template (of several, one for plain conversations)."""
    try:
        return bool(tokenizer.get_chat_template())
    except ValueError:  # none, or several without a default
        return False


@dataclass(frozen=True)
class Chat:
    """A tokenizer's chat template, and the system prompt that conversations begin with (None: none of ours;
    some templates write one of their own)."""

    tokenizer: PreTrainedTokenizerBase
    system: str | None = None

    def prompt(self, turns: Sequence[Turn], question: str) -> Conversation:
        """Turns and a question, up to where its answer begins.

        Raises:
            ModelError: the template refuses it.
        """
        return self._render([*self._messages(turns), {"role": "user", "content": question}], reply=True)

    def conversation(self, turns: Sequence[Turn]) -> Conversation:
        """Turns, each with its answer.

        Raises:
            ModelError: the template refuses it.
        """
        return self._render(self._messages(turns), reply=False)

    @cached_property
    def opening(self) -> Conversation:
        """What stands before the first question."""
        before, _, _ = _parted(self.prompt([], _QUESTION), _QUESTION)
        return Conversation(before)

    @cached_property
    def ending(self) -> str:
        """What ends an answer, without the white space that may follow: empty where nothing does."""
        _, _, after = _parted(self.conversation([(_QUESTION, _ANSWER)]), _ANSWER)
        return after.rstrip()

    def supervised(self, turns: Sequence[Turn]) -> tuple[list[int], list[bool]]:
        """Token ids of turns up to the end of the last answer, and which of them the assistant writes: the
        answers, each with what ends it.

        Where the template marks them (`{% generation %}`), these are its marks. Elsewhere an answer begins
        where the prompt for it ends, with which the whole must begin.

        Raises:
            ModelError: the template refuses the turns, or the whole does not begin with a prompt.
        """
        if _MARKS.search(self.tokenizer.get_chat_template()):
            with _refusals():
                whole: Any = self.tokenizer.apply_chat_template(
                    self._messages(turns), return_dict=True, return_assistant_tokens_mask=True
                )
            ids, own = list(whole["input_ids"]), [bool(mark) for mark in whole["assistant_masks"]]
        else:
            text, spans = self._answers(turns)
            encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
            ids = list(encoded["input_ids"])
            # A token that begins before an answer is not its own, as in plain samples.
            own = [
                any(first <= begin < beyond and end <= beyond for first, beyond in spans)
                for begin, end in encoded["offset_mapping"]
            ]
        size = max((place + 1 for place, is_own in enumerate(own) if is_own), default=0)
        return ids[:size], own[:size]

    def problem(self) -> str | None:
        """Why conversations cannot be trained on, as found out on one of two turns; None where they can."""
        tokenizer = self.tokenizer
        if not has_template(tokenizer):
            return "the tokenizer has no chat template"
        if not tokenizer.is_fast:
            return "needs a fast tokenizer, which says where in a text its tokens are"
        try:
            ids, own = self.supervised([(_QUESTION, _ANSWER), (_QUESTION, _ANSWER)])
        except ModelError as error:
            return str(error)
        pieces = [tokenizer.decode(piece) for piece in _runs(ids, own)]
        if len(pieces) != 2 or any(_ANSWER not in piece or _QUESTION in piece for piece in pieces):
            return (
                "the chat template's marks ({% generation %}) do not hold each answer alone: they hold "
                f"{pieces}"
            )
        return None

    def _messages(self, turns: Sequence[Turn]) -> list[dict[str, str]]:
        messages = [] if self.system is None else [{"role": "system", "content": self.system}]
        for question, answer in turns:
            messages.append({"role": "user", "content": question})
            messages.append({"role": "assistant", "content": answer})
        return messages

    def _render(self, messages: list[dict[str, str]], *, reply: bool) -> Conversation:
        with _refusals():
            text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=reply)
        return Conversation(text)

    def _answers(self, turns: Sequence[Turn]) -> tuple[Conversation, list[tuple[int, int]]]:
        """The turns as text, and of each answer its first character and one past its end mark."""
        text, ending = self.conversation(turns), self.ending
        spans = []
        for number, (question, answer) in enumerate(turns):
            prompt = self.prompt(turns[:number], question)
            found = text.find(answer, len(prompt)) if text.startswith(prompt) else -1
            ended = found + len(answer)
            if found < 0 or not text.startswith(ending, ended):
                raise ModelError(
                    "the tokenizer's chat template writes a question otherwise once it is answered, so that "
                    "what the assistant writes cannot be told: a conversation does not begin with "
                    f"'{prompt[-60:]}', the prompt for its answer '{answer[:40]}' (where the template marks "
                    "answers by {% generation %}, these are taken)"
                )
            spans.append((len(prompt), ended + len(ending)))
        return text, spans


_QUESTION, _ANSWER = "Who?", "Me."


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (TemplateError, TypeError) as error:  # TypeError: of what a template computes
        raise ModelError(f"the tokenizer's chat template refuses a conversation: {error}") from error


def _parted(text: str, content: str) -> tuple[str, str, str]:
    """What stands before the content of a message, the content, what stands after it."""
    parts = text.rpartition(content)
    if not parts[1]:
        raise ModelError(
            f"the tokenizer's chat template does not write what is said as it is: '{content}' became "
            f"'{text[-60:]}'"
        )
    return parts


def _runs(ids: Sequence[int], own: Sequence[bool]) -> list[list[int]]:
    """Ids of each stretch of tokens that are the assistant's."""
    runs: list[list[int]] = []
    for place, token in enumerate(ids):
        if own[place]:
            if place == 0 or not own[place - 1]:
                runs.append([])
            runs[-1].append(token)
    return runs
