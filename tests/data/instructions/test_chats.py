"""Instruction samples as conversations."""

import pytest
from chat_templates import CHATML, TEMPLATES, chat_tokenizer

from xalign.data.chat import Chat
from xalign.data.collate import IGNORED
from xalign.data.instructions.base import InstructionSample
from xalign.data.instructions.chats import chat_rows
from xalign.data.instructions.tokens import instruction_rows

ASKED = "Say it: the moon is high Answer in German:"
SAMPLE = InstructionSample(ASKED, " der Mond ist hoch", "en", "de", (8, 24), (("sun =", " Sonne\n"),))


def texts(chat: Chat, sample: InstructionSample, max_length: int = 512) -> tuple[str, str]:
    """All of a row, and what is supervised of it."""
    (row,), (labels,) = chat_rows(chat, [sample], max_length)
    assert len(row) == len(labels) <= max_length
    assert all(label in (IGNORED, token) for token, label in zip(row, labels, strict=True))
    own = [label for label in labels if label != IGNORED]
    return chat.tokenizer.decode(row), chat.tokenizer.decode(own)


def test_prompts_are_asked_and_answers_supervised() -> None:
    whole, own = texts(Chat(chat_tokenizer(), "Be brief."), SAMPLE)
    assert whole == (
        "<bos><|system>Be brief.<eos>\n<|user>sun =<eos>\n<|assistant>Sonne<eos>\n"
        f"<|user>{ASKED}<eos>\n<|assistant>der Mond ist hoch<eos>"
    )
    assert own == "Sonne<eos>der Mond ist hoch<eos>"


@pytest.mark.parametrize("name", TEMPLATES)
def test_too_long_samples_keep_what_asks_and_the_marks(name: str) -> None:
    chat = Chat(chat_tokenizer(TEMPLATES[name]))
    whole, own = texts(chat, SAMPLE)
    least = len(chat.supervised([(" Answer in German:", "d")])[0])
    lengths = [len(chat_rows(chat, [SAMPLE], length)[0][0]) for length in range(least, 256)]
    assert max(lengths) == len(chat.tokenizer(whole, add_special_tokens=False)["input_ids"])
    for length in range(least, 256):
        whole, own = texts(chat, SAMPLE, length)
        assert "Answer in German:" in whole
        assert own.endswith(chat.ending)
        assert own.removesuffix(chat.ending).strip()
        assert whole.startswith(chat.opening)
    # First the demonstration goes, then the end of the input.
    one = len(chat.supervised([(ASKED, "der Mond ist hoch")])[0])
    assert texts(chat, SAMPLE, one)[1].count(chat.ending) == 1
    assert "Say it: the moon is hig Answer" in texts(chat, SAMPLE, one - 1)[0]


def test_characters_of_several_tokens_are_cut_whole() -> None:
    chat = Chat(chat_tokenizer())
    sample = InstructionSample("ที่ไหนญี่ปุ่น Answer in Thai:", " ญี่ปุ่นที่ไหน", "th", "th", (0, 13))
    least = len(chat.supervised([(" Answer in Thai:", "d")])[0])
    for length in range(least + 3, 120):
        assert "\ufffd" not in texts(chat, sample, length)[0]


def test_text_that_its_answer_continues_stays_plain() -> None:
    tokenizer = chat_tokenizer(CHATML)
    sample = InstructionSample("The moon", " is high", "en", "en")
    assert chat_rows(Chat(tokenizer), [sample], 64) == instruction_rows(tokenizer, [sample], 64)
