"""Instruction samples as conversations: each prompt is a user's turn, each answer the assistant's, which is
what is supervised."""

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from xalign.data.chat import Chat, Turn
from xalign.data.collate import IGNORED
from xalign.data.instructions.base import InstructionSample
from xalign.data.instructions.tokens import instruction_rows


def chat_rows(
    chat: Chat, samples: Sequence[InstructionSample], max_length: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of instruction samples, and labels on what the assistant writes.

    Demonstrations are turns before. A text that its answer continues asks nobody: it stays plain.

    A sample that is too long loses, as a plain one does, its first demonstrations, then the end of its input,
    then of its instruction, and of its answer, which has half of the room and what the prompt leaves; what
    asks for the answer, and what the template writes, stay.

    Raises:
        ModelError: the chat template refuses a sample.
    """
    rows, labels = [], []
    for sample in samples:
        if sample.input is None:
            (row,), (own,) = instruction_rows(chat.tokenizer, [sample], max_length)
        else:
            row, written = _fitted(chat, sample, max_length)
            own = [token if is_own else IGNORED for token, is_own in zip(row, written, strict=True)]
        rows.append(row)
        labels.append(own)
    return rows, labels


def _fitted(chat: Chat, sample: InstructionSample, max_length: int) -> tuple[list[int], list[bool]]:
    """Ids, at most `max_length`, and which of them the assistant writes."""
    before = [_turn(*shown) for shown in sample.demonstrations]
    prompt, answer = _turn(sample.prompt, sample.answer)
    ids, own = chat.supervised([*before, (prompt, answer)])
    while before and len(ids) > max_length:
        before = before[1:]
        ids, own = chat.supervised([*before, (prompt, answer)])
    if len(ids) <= max_length:
        return ids, own
    assert sample.input is not None
    asks = prompt[sample.input[1] :]
    given, said = (_Beginning(chat.tokenizer, text) for text in (prompt[: sample.input[1]], answer))
    of_given, of_said = given.size, said.size
    while len(ids) > max_length and of_given + of_said > 1:
        room = of_given + of_said - (len(ids) - max_length)
        of_said = max(1, min(of_said, max(room // 2, room - of_given)))
        of_given = max(0, room - of_said)
        ids, own = chat.supervised([(given.text(of_given) + asks, said.text(of_said))])
    return ids[-max_length:], own[-max_length:]


def _turn(prompt: str, answer: str) -> Turn:
    """Without the white space that parts the two in plain text."""
    return prompt.rstrip(), answer.strip()


class _Beginning:
    """A text, as far as some of its tokens go."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, text: str) -> None:
        self._text = text
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        self._ends = [end for _, end in encoded["offset_mapping"]]

    @property
    def size(self) -> int:
        return len(self._ends)

    def text(self, size: int) -> str:
        """The text of so many tokens, without white space at its end or a part of a character."""
        if size <= 0 or not self._ends:
            return ""
        kept = self._ends[min(size, self.size) - 1]
        if size < self.size and self._ends[size] == kept:  # the next token has more of that character
            kept -= 1
        return self._text[:kept].rstrip()
