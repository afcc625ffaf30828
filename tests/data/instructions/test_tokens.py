from functools import cache
from pathlib import Path

import pytest
from small_tokenizers import TOKENIZERS
from transformers import PreTrainedTokenizerBase

from xalign.base.cache import cache_dir
from xalign.base.errors import ModelError
from xalign.config.schema import ModelConfig
from xalign.config.text import InstructionsConfig, LanguagesConfig
from xalign.data.collate import IGNORED
from xalign.data.instructions import InstructionSample, load_instructions
from xalign.data.instructions.tokens import instruction_rows
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.models.byte_tokenizer import byte_tokenizer

BYTES = byte_tokenizer()
WORDS = " ".join(f"word{i}" for i in range(100))
ENDING = " Answer in German:"

PAIRS = {
    "a word after a prompt": ("The house is big. Answer in German:", " Das Haus ist groß."),
    "Chinese goes on": ("今天天气", "很好我们去公园吧。"),
    "Thai goes on in mid-word": ("ประเทศไทยมีอากาศร้", "อนมาก กี่คน"),
    "Hindi goes on": ("यह घर", " बड़ा है और"),
    "German goes on in mid-word": ("Passwort", "änderung"),
}

known_tokenizer = cache(lambda name: TOKENIZERS[name]())


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    tokenizer: PreTrainedTokenizerBase = known_tokenizer(request.param)
    return tokenizer


def sample(prompt: str, answer: str, given: str | None = None) -> InstructionSample:
    """A sample whose input is `given`; None: the answer goes on with the prompt."""
    start = prompt.index(given) if given is not None else 0
    span = None if given is None else (start, start + len(given))
    return InstructionSample(prompt, answer, "en", "de", span)


def encoded(
    tokenizer: PreTrainedTokenizerBase, own: InstructionSample, max_length: int = 1000
) -> tuple[list[int], list[int]]:
    """Ids of the prompt, and of what is supervised; together they are the row."""
    (row,), (labels,) = instruction_rows(tokenizer, [own], max_length)
    count = labels.count(IGNORED)
    assert labels == [IGNORED] * count + row[count:]
    assert len(row) <= max_length
    return row[:count], row[count:]


def text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def test_loss_is_on_the_answer_and_the_end_of_sequence_only() -> None:
    prompt, answer = encoded(BYTES, sample("ask", " yes"))
    assert prompt == BYTES("ask")["input_ids"]
    assert answer == [*BYTES(" yes", add_special_tokens=False)["input_ids"], BYTES.eos_token_id]


# Demonstrations.

SHOWN = (("Good day =", " Guten Tag\n"), ("The small cat =", " Die kleine Katze\n"))


def supervised(tokenizer: PreTrainedTokenizerBase, max_length: int) -> tuple[str, str]:
    """The whole text of a few-shot sample, and what of it is supervised, its end of sequence apart."""
    own = InstructionSample("My house =", " Mein Haus\n", "en", "de", (0, 8), SHOWN)
    (row,), (labels,) = instruction_rows(tokenizer, [own], max_length)
    assert len(row) < max_length
    assert row[-1] == labels[-1] == tokenizer.eos_token_id
    assert all(label in (IGNORED, token) for label, token in zip(labels, row, strict=True))
    return text(tokenizer, row[:-1]), text(tokenizer, [i for i in labels[:-1] if i != IGNORED])


def test_answers_of_demonstrations_are_supervised_and_nothing_else_of_them() -> None:
    whole, answers = supervised(BYTES, 1000)
    assert whole == "Good day = Guten Tag\nThe small cat = Die kleine Katze\nMy house = Mein Haus\n"
    assert answers == " Guten Tag\n Die kleine Katze\n Mein Haus\n"


def test_the_first_demonstrations_are_left_out_where_there_is_no_room() -> None:
    whole, answers = supervised(BYTES, 60)
    assert whole == "The small cat = Die kleine Katze\nMy house = Mein Haus\n"
    assert answers == " Die kleine Katze\n Mein Haus\n"
    assert supervised(BYTES, 30) == ("My house = Mein Haus\n", " Mein Haus\n")


def test_every_tokenizer_supervises_whole_answers(tokenizer: PreTrainedTokenizerBase) -> None:
    _, answers = supervised(tokenizer, 1000)
    known = text(tokenizer, tokenizer("Guten Tag Die kleine Katze Mein Haus")["input_ids"])
    assert "".join(answers.split()) == "".join(known.split())


# Tokens of prompt and answer together.


@pytest.mark.parametrize("pair", PAIRS)
def test_prompt_and_answer_are_read_back_each_by_itself(
    tokenizer: PreTrainedTokenizerBase, pair: str
) -> None:
    asked, given = PAIRS[pair]
    prompt, answer = encoded(tokenizer, sample(asked, given))
    assert text(tokenizer, prompt) == asked
    assert text(tokenizer, answer).lstrip() == given.lstrip()
    assert text(tokenizer, prompt + answer) == asked + given
    assert answer[-1] == tokenizer.eos_token_id
    assert tokenizer.eos_token_id not in (prompt + answer)[1:-1]


def test_prompt_and_answer_have_the_tokens_of_one_text(tokenizer: PreTrainedTokenizerBase) -> None:
    for asked, given in PAIRS.values():
        prompt, answer = encoded(tokenizer, sample(asked, given))
        whole = tokenizer(asked + given)["input_ids"]
        assert [*prompt, *answer][: len(whole)] == whole


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_token_of_prompt_and_answer_both_is_not_supervised(name: str) -> None:
    tokenizer = known_tokenizer(name)
    prompt, answer = encoded(tokenizer, sample("Passwor", "tänderung"))
    if ("byte" in name and "BPE" not in name) or "slow" in name:
        assert (text(tokenizer, prompt), text(tokenizer, answer)) == ("Passwor", "tänderung")
    else:
        assert (text(tokenizer, prompt), text(tokenizer, answer)) == ("Passwort", "änderung")


def test_a_space_at_the_end_of_the_prompt_belongs_to_the_answer(tokenizer: PreTrainedTokenizerBase) -> None:
    """Who gives the prompt without it gets it from the model, together with the word."""
    prompt, answer = encoded(tokenizer, sample("Answer in German: ", "Das Haus"))
    assert text(tokenizer, prompt) == "Answer in German:"
    assert text(tokenizer, answer).lstrip() == "Das Haus"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gemma3_270m", "smollm2_135m"])
def test_embedded_models_read_back_prompt_and_answer(name: str) -> None:
    if not list(cache_dir().glob(f"models/{name}-*")):
        pytest.skip("the embedded model is not in the cache")
    from xalign.models.loading import _load_tokenizer

    tokenizer = _load_tokenizer(ModelConfig(name=name, tokenizer=name), None)
    for asked, given in PAIRS.values():
        prompt, answer = encoded(tokenizer, sample(asked, given))
        assert text(tokenizer, prompt + answer) == asked + given
        # A token may reach over from the prompt.
        assert (asked + given).endswith(text(tokenizer, answer))
        assert text(tokenizer, prompt).startswith(asked)


def test_without_an_end_of_sequence_token_nothing_can_be_supervised() -> None:
    tokenizer = byte_tokenizer()
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end-of-sequence token"):
        instruction_rows(tokenizer, [sample("ask", " yes")], 64)


# Too long.


def test_what_asks_for_the_answer_stays() -> None:
    tokenizer = known_tokenizer("BPE with byte fallback (Llama 2)")
    prompt, answer = encoded(tokenizer, sample(WORDS + ENDING, " Das Haus ist klein."), 16)
    assert text(tokenizer, prompt).endswith(ENDING)
    assert answer[-1] == tokenizer.eos_token_id


@pytest.mark.parametrize("answer", [" Ja", " Das Haus ist klein." * 40])
@pytest.mark.parametrize("max_length", [100, 128, 200, 350])
def test_the_instruction_stays_and_the_input_loses_its_end(
    tokenizer: PreTrainedTokenizerBase, answer: str, max_length: int
) -> None:
    asked = sample(f"Which word is it? {WORDS}{ENDING}", answer, WORDS)
    prompt, supervised = encoded(tokenizer, asked, max_length)
    instruction, given = text(tokenizer, prompt)[: -len(ENDING)].split("? ")
    assert text(tokenizer, prompt).endswith(ENDING)
    assert instruction == "Which word is it"
    assert given
    assert WORDS.startswith(given)
    assert supervised[-1] == tokenizer.eos_token_id
    assert answer.lstrip().startswith(text(tokenizer, supervised).lstrip())


def test_an_instruction_that_is_too_long_itself_loses_its_end() -> None:
    prompt, _ = encoded(BYTES, sample(f"{WORDS} apple{ENDING}", " Ja", "apple"), 64)
    assert text(BYTES, prompt) == f"{WORDS[: 64 - 1 - len(ENDING) - 4]}{ENDING}"


def test_where_the_answer_continues_the_input_its_end_stays() -> None:
    prompt, answer = encoded(BYTES, sample(WORDS, " and so on" * 40), 64)
    assert text(BYTES, prompt) == WORDS[-31:]
    assert text(BYTES, answer) == (" and so on" * 40)[:31]
    assert (prompt[0], answer[-1]) == (BYTES.bos_token_id, BYTES.eos_token_id)


@pytest.mark.parametrize(
    ("asked", "given", "lengths"),
    [
        (WORDS, " short", (57, 7)),
        ("short", " and so on" * 40, (6, 58)),
        (WORDS, " and so on" * 40, (32, 32)),
        (WORDS, " and so on and so on.", (42, 22)),
    ],
)
def test_each_has_half_of_the_room_and_what_the_other_leaves(
    asked: str, given: str, lengths: tuple[int, int]
) -> None:
    prompt, answer = encoded(BYTES, sample(asked, given), 64)
    assert (len(prompt), len(answer)) == lengths


def test_what_asks_for_the_answer_may_take_more_than_half() -> None:
    prompt, answer = encoded(BYTES, sample(f"{WORDS}{ENDING}", " Das Haus ist klein.", WORDS), 24)
    assert text(BYTES, prompt) == ENDING
    assert text(BYTES, answer) == " Das "[: 24 - 1 - len(ENDING) - 1]
    prompt, answer = encoded(BYTES, sample(f"{WORDS}{ENDING}", " Das Haus ist klein.", WORDS), 8)
    assert text(BYTES, prompt) == "rman:"
    assert answer == [BYTES(" ")["input_ids"][-1], BYTES.eos_token_id]


@pytest.mark.parametrize("max_length", range(24, 40))
def test_no_character_is_cut_in_two(max_length: int) -> None:
    chinese = "今天天气很好我们去公园吧" * 9
    for tokenizer in map(known_tokenizer, TOKENIZERS):
        if not tokenizer.is_fast:
            continue
        for own in (
            sample(f"{chinese} =", f" {chinese}", chinese),
            sample(chinese, chinese),
        ):
            prompt, answer = encoded(tokenizer, own, max_length)
            assert "\ufffd" not in text(tokenizer, prompt) + text(tokenizer, answer)


def test_no_sample_of_xquad_loses_its_question_or_what_asks_for_the_answer(shared_data: Path) -> None:
    config = InstructionsConfig(source="xquad", path=str(shared_data / "xquad"))
    languages = LanguagesConfig(targets=["zh", "th"])
    corpus = ParallelCorpus.from_rows([Row("made", {"en": "a", "zh": "b", "th": "c"})], "made")
    samples = load_instructions(config, languages, corpus, 0).batch(0, 60)
    rows, labels = instruction_rows(BYTES, samples, 512)
    assert len(rows) == len(samples)
    for own, row, label in zip(samples, rows, labels, strict=True):
        assert own.input is not None
        prompt = text(BYTES, row[: label.count(IGNORED)])
        assert len(row) <= 512
        assert prompt.startswith(own.prompt[: own.input[0]])
        assert prompt.endswith(own.prompt[own.input[1] :])
        assert own.answer.startswith(text(BYTES, row[label.count(IGNORED) :]))
