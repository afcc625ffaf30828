"""Instruction samples as token ids: prompt and answer are one text, of which the answer is supervised."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from xalign.base.errors import ModelError
from xalign.data.collate import IGNORED
from xalign.data.instructions.base import InstructionSample


def instruction_rows(
    tokenizer: PreTrainedTokenizerBase, samples: Sequence[InstructionSample], max_length: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Token ids of instruction samples, and labels on the answer and the end-of-sequence token only.

    Prompt and answer are tokenised as one text. Apart, tokenizers that begin every text with a word
    boundary (XGLM, Llama 2) would put one before the answer too, also where it goes on in mid-word.

    Supervised are the tokens that begin in the answer. A token that holds characters of the prompt and of
    the answer is not: prompts are given whole, so that nobody ever asks the model to predict their last
    characters. Spaces at the end of a prompt count as the beginning of the answer, since tokenizers join a
    space with the word after it.

    A sample that is too long loses, in this order of what stays: of the prompt, what asks for the answer,
    then the instruction, then the beginning of the input (its end, where the answer continues it); of the
    answer, its beginning. Prompt and answer have half of the room each, and what the other leaves of its
    half; what asks for the answer stays in any case. The end-of-sequence token always stays, and no sample is
    dropped.

    Raises:
        ModelError: the tokenizer has no end-of-sequence token.
    """
    end = tokenizer.eos_token_id
    if end is None:
        raise ModelError("the tokenizer has no end-of-sequence token, with which every answer ends")
    rows, labels = [], []
    for sample, text in zip(samples, _tokenised(tokenizer, list(map(_whole, samples))), strict=True):
        while sample.demonstrations and len(text.ids) >= max_length:
            sample = replace(sample, demonstrations=sample.demonstrations[1:])
            (text,) = _tokenised(tokenizer, [_whole(sample)])
        if sample.demonstrations:
            rows.append([*text.ids, end])
            labels.append([*_labels(text, sample), end])
            continue
        prompt, answer = _fitted(text, sample, max_length)
        rows.append([*prompt, *answer, end])
        labels.append([IGNORED] * len(prompt) + [*answer, end])
    return rows, labels


def _whole(sample: InstructionSample) -> str:
    return "".join(map("".join, sample.demonstrations)) + sample.prompt + sample.answer


def _labels(text: "_Text", sample: InstructionSample) -> list[int]:
    """Labels on the tokens of all answers, of a sample that is not too long."""
    labels, place = [IGNORED] * len(text.ids), 0
    for prompt, answer in (*sample.demonstrations, (sample.prompt, sample.answer)):
        asked = place + len(prompt.rstrip(" "))
        place += len(prompt) + len(answer)
        first, beyond = max(text.first_from(asked), text.special), text.first_from(place)
        labels[first:beyond] = text.ids[first:beyond]
    return labels


@dataclass(frozen=True)
class _Text:
    """The tokens of a text, and where its characters are among them."""

    ids: Sequence[int]
    special: int
    """Special tokens before the text; those after it are left out."""

    def first_from(self, character: int) -> int:
        """The first token from which on all tokens begin at a character or after it."""
        raise NotImplementedError

    def first_beyond(self, character: int) -> int:
        """The first token that ends after so many characters."""
        raise NotImplementedError

    def is_cut(self, token: int) -> bool:
        """Whether a character lies partly before this token and partly in it."""
        return False


def _fitted(text: _Text, sample: InstructionSample, max_length: int) -> tuple[list[int], list[int]]:
    """Ids of the prompt and of the answer, together shorter than `max_length`."""
    ids = text.ids
    answer = max(text.first_from(len(sample.prompt.rstrip(" "))), text.special)
    if len(ids) < max_length:
        return list(ids[:answer]), list(ids[answer:])
    first, last = sample.input or (0, len(sample.prompt))
    begin = max(text.first_from(first), text.special)
    end = max(min(text.first_beyond(last), answer), begin)
    half = max_length // 2
    room = max_length - min(len(ids) - answer + 1, max(half, max_length - answer))
    # What asks for the answer stays, if only a token of the answer and the end of sequence have room beside.
    room = min(max(room, min(text.special + answer - end, max_length - 2)), answer)
    prompt = _shortened(text, begin, end, answer, room, continued=last == len(sample.prompt))
    return prompt, list(ids[answer : _down(text, answer + max_length - room - 1)])


def _shortened(text: _Text, begin: int, end: int, answer: int, room: int, *, continued: bool) -> list[int]:
    """`room` ids of a prompt: special tokens, the instruction up to `begin`, the input up to `end`, and what
    asks for the answer up to `answer`."""
    ids, special = text.ids, text.special
    if room == answer:
        return list(ids[:answer])
    spare = room - special - (answer - end)
    if spare < 0:
        return [*ids[:special], *ids[_up(text, answer - room + special) : answer]]
    if spare <= begin - special:
        return [*ids[: _down(text, special + spare)], *ids[end:answer]]
    spare -= begin - special
    given = ids[_up(text, end - spare) : end] if continued else ids[begin : _down(text, begin + spare)]
    return [*ids[:begin], *given, *ids[end:answer]]


def _down(text: _Text, token: int) -> int:
    """The token, or the nearest before it that begins with a whole character."""
    while 0 < token < len(text.ids) and text.is_cut(token):
        token -= 1
    return token


def _up(text: _Text, token: int) -> int:
    """The token, or the nearest after it that begins with a whole character."""
    while token < len(text.ids) and text.is_cut(token):
        token += 1
    return token


def _tokenised(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Iterator[_Text]:
    encoded = tokenizer(
        list(texts),
        padding=False,
        return_special_tokens_mask=True,
        return_offsets_mapping=tokenizer.is_fast,
    )
    for number, (ids, marks) in enumerate(
        zip(encoded["input_ids"], encoded["special_tokens_mask"], strict=True)
    ):
        last = len(ids)
        while last > 0 and marks[last - 1]:
            last -= 1
        special = next((i for i, mark in enumerate(marks[:last]) if not mark), last)
        if tokenizer.is_fast:
            offsets = encoded["offset_mapping"][number][:last]
            yield _ByOffsets(ids[:last], special, offsets)
        else:
            yield _ByDecoding(ids[:last], special, tokenizer, texts[number])


@dataclass(frozen=True)
class _ByOffsets(_Text):
    """Of a fast tokenizer, which says where each token's characters are."""

    offsets: Sequence[tuple[int, int]]
    """(first character, one past the last) of each token; bytes of a character all have that character's."""

    @cached_property
    def _begins(self) -> list[int]:
        """The first character of all tokens from each one on."""
        return list(accumulate((first for first, _ in reversed(self.offsets)), min))[::-1]

    @cached_property
    def _reached(self) -> list[int]:
        """How far the tokens before each one reach, and at last all of them."""
        return list(accumulate((last for _, last in self.offsets), max, initial=0))

    def first_from(self, character: int) -> int:
        return bisect_left(self._begins, character)

    def first_beyond(self, character: int) -> int:
        return bisect_right(self._reached, character) - 1

    def is_cut(self, token: int) -> bool:
        return self._reached[token] > self._begins[token]


@dataclass(frozen=True)
class _ByDecoding(_Text):
    """Of a slow tokenizer: characters are counted in what its first tokens decode to.

    A position in the text is as many characters as the text before it, alone, decodes to, so that what
    encoding changes (white space, say) is changed on both sides.
    """

    tokenizer: PreTrainedTokenizerBase
    text: str

    def _decoded(self, ids: Sequence[int]) -> int:
        text = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return len(str(text).rstrip("\ufffd"))  # bytes that are no whole character yet

    def _place(self, character: int) -> int:
        before = self.tokenizer(self.text[:character], add_special_tokens=False)["input_ids"]
        return self._decoded(before)

    def _covered(self, count: int) -> int:
        return self._decoded(self.ids[:count])

    def first_from(self, character: int) -> int:
        return bisect_left(range(len(self.ids)), self._place(character), key=self._covered)

    def first_beyond(self, character: int) -> int:
        token = self.first_from(character)
        return token - (self._covered(token) > self._place(character))
