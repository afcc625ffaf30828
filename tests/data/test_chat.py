"""Conversations: what a template writes, and which tokens of it are the assistant's."""

import pytest
from chat_templates import CHATML, GEMMA, LLAMA2, OWN_SYSTEM, TEMPLATES, UNTELLABLE, chat_tokenizer
from small_tokenizers import slow_bytes

from xalign.base.errors import ModelError
from xalign.data.chat import Chat, Conversation, has_template
from xalign.data.collate import encode

TURNS = [("Who are you?", "A fox."), ("ที่ไหน", "ญี่ปุ่น")]

WRITTEN = {
    "chatml": ["A fox.<eos>", "ญี่ปุ่น<eos>"],
    "own system": ["A fox.<eos>", "ญี่ปุ่น<eos>"],
    "gemma": ["A fox.</t>", "ญี่ปุ่น</t>"],
    "llama 2": [" A fox. <eos>", " ญี่ปุ่น <eos>"],
    "thinking": ["A fox.<eos>", "<think></think>ญี่ปุ่น<eos>"],
    "generation": ["A fox.<eos>", "ญี่ปุ่น<eos>"],
}
"""What the assistant writes, with what ends it."""


@pytest.mark.parametrize("name", TEMPLATES)
def test_only_what_the_assistant_writes_is_supervised(name: str) -> None:
    chat = Chat(chat_tokenizer(TEMPLATES[name]))
    assert chat.problem() is None
    ids, own = chat.supervised(TURNS)
    pieces: list[list[int]] = []
    for place, token in enumerate(ids):
        if own[place]:
            pieces += [[]] if place == 0 or not own[place - 1] else []
            pieces[-1].append(token)
    assert [chat.tokenizer.decode(piece) for piece in pieces] == WRITTEN[name]
    assert own[-1]  # what follows the last answer is of no use
    # The rest is the conversation as transformers itself tokenises it.
    messages = [
        {"role": role, "content": content}
        for turn in TURNS
        for role, content in zip(("user", "assistant"), turn, strict=True)
    ]
    whole = chat.tokenizer.apply_chat_template(messages, return_dict=False)
    assert ids == whole[: len(ids)]
    assert chat.tokenizer.decode(whole[len(ids) :]).strip() == ""


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_text_begins_once(name: str) -> None:
    """The template writes `<bos>`, and the tokenizer adds none to it."""
    tokenizer = chat_tokenizer(TEMPLATES[name])
    chat = Chat(tokenizer)
    prompt, whole = chat.prompt(TURNS[:1], "x"), chat.conversation(TURNS[:1])
    assert tokenizer(str(prompt))["input_ids"][:2] == [1, 1]  # what would happen
    rows = encode(tokenizer, [prompt, "plain", whole], 512)
    assert [row[:2].count(tokenizer.bos_token_id) for row in rows] == [1, 1, 1]
    assert tokenizer.decode(rows[0]) == str(prompt)
    assert chat.supervised(TURNS)[0][:2].count(tokenizer.bos_token_id) == 1
    assert encode(tokenizer, [prompt], 5) == [rows[0][:5]]


def test_the_system_prompt_opens_a_conversation() -> None:
    for template in (CHATML, OWN_SYSTEM):
        chat = Chat(chat_tokenizer(template), "Speak Swahili.")
        assert chat.opening == "<bos><|system>Speak Swahili.<eos>\n<|user>"
        assert chat.prompt([], "x").startswith(chat.opening)
    assert Chat(chat_tokenizer(OWN_SYSTEM)).opening == "<bos><|system>Be brief.<eos>\n<|user>"
    assert Chat(chat_tokenizer(LLAMA2)).opening == "<bos>[INST] "
    problem = Chat(chat_tokenizer(GEMMA), "Speak Swahili.").problem()
    assert problem == "the tokenizer's chat template refuses a conversation: no system role"


def test_what_cannot_be_trained_on_is_said() -> None:
    assert not has_template(chat_tokenizer(None))
    assert Chat(chat_tokenizer(None)).problem() == "the tokenizer has no chat template"
    slow = slow_bytes()
    slow.chat_template = CHATML
    assert "needs a fast tokenizer" in str(Chat(slow).problem())
    chat = Chat(chat_tokenizer(UNTELLABLE))
    assert "writes a question otherwise once it is answered" in str(chat.problem())
    with pytest.raises(ModelError, match="does not begin with 'Question: Who are you"):
        chat.supervised(TURNS[:1])
    shouting = Chat(chat_tokenizer(CHATML.replace("message['content']", "message['content'] | upper")))
    assert "does not write what is said as it is: 'Me.' became" in str(shouting.problem())
    parts = Chat(chat_tokenizer("{{ messages[0]['content'][0]['text'] + 'x' }}"))  # content of another form
    assert "refuses a conversation" in str(parts.problem())
    # Marks around a question, or around the last answer alone.
    everything = "{% generation %}{% for m in messages %}{{ m['content'] }}{% endfor %}{% endgeneration %}"
    assert "do not hold each answer alone" in str(Chat(chat_tokenizer(everything)).problem())
    with pytest.raises(ModelError, match="refuses a conversation: by turns"):
        Chat(chat_tokenizer(GEMMA + "{{ raise_exception('by turns') }}")).prompt([], "x")


def test_a_conversation_is_a_text() -> None:
    assert isinstance(Chat(chat_tokenizer()).prompt([], "x"), str)
    assert Conversation("a") == "a"
