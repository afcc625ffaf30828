"""The texts of retention: kinds by their shares, prompts as models are asked, ranks' parts disjoint."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chat_templates import chat_tokenizer

from xalign.data.chat import Chat, Conversation
from xalign.data.few_shot import FORMS, few_shot_prompt
from xalign.data.retained_texts import PAIRS, RetainedTexts, few_shot_prompts, retained_texts
from xalign.data.sampling import Pair

SHARES = [
    [Pair(i, f"English {i}.", f"Deutsch {i}.", "de", i, i) for i in range(20)],
    [Pair(i, f"English {i}.", f"Français {i}.", "fr", i, i) for i in range(20, 40)],
]
OWN = [f"own {i}" for i in range(30)]


def step_data(rank: int = 0, ranks: int = 1, step: int = 0, chat: Chat | None = None) -> Any:
    return SimpleNamespace(
        rank=rank,
        ranks=ranks,
        own_texts=OWN,
        chat=chat,
        shares=SHARES,
        global_pairs=[pair for share in SHARES for pair in share],
        rng=lambda stream: np.random.default_rng([step, stream]),
        encode=lambda texts, length: texts,
        part=lambda texts: texts,
    )


def texts(rank: int = 0, ranks: int = 1, **options: Any) -> list[str]:
    found: Any = retained_texts(step_data(rank, ranks), RetainedTexts(kind="retention", **options), "en")
    return list(found)


def test_shares_are_as_configured() -> None:
    found = texts(batch_size=8, own_fraction=0.25, few_shot_fraction=0.5)
    kinds = ["own" if text in OWN else "prompt" if "\n" in text else "sentences" for text in found]
    assert [kinds.count(kind) for kind in ("own", "prompt", "sentences")] == [2, 4, 2]
    assert not any("\n" in text for text in texts(batch_size=8))
    assert all("\n" in text for text in texts(batch_size=3, own_fraction=0.0, few_shot_fraction=1.0))


def test_prompts_go_both_ways_in_every_language_of_the_step() -> None:
    prompts = few_shot_prompts(step_data(), "en", 40)
    for language, other in (("Deutsch", "Français"), ("Français", "Deutsch")):
        own = [prompt for prompt in prompts if language in prompt]
        assert len(own) == 20
        assert not any(other in prompt.replace("French", "") for prompt in own)
    into = [prompt for prompt in prompts if prompt.removeprefix("English: ").startswith("English")]
    assert len(into) == 20
    assert {form.end for form in FORMS} == {"\n", "\n\n"}
    assert any("Translate into" in prompt for prompt in prompts)


def test_in_a_chat_each_pair_is_a_turn() -> None:
    chat = Chat(chat_tokenizer())
    plain = few_shot_prompts(step_data(), "en", 6)
    for prompt, text in zip(few_shot_prompts(step_data(chat=chat), "en", 6), plain, strict=True):
        assert isinstance(prompt, Conversation)
        assert prompt.startswith("<bos><|user>")
        assert prompt.count("<|user>") == prompt.count("<|assistant>") == PAIRS
        question, answer = prompt.removeprefix("<bos><|user>").split("<eos>")[:2]
        assert text.startswith(question + answer.replace("\n<|assistant>", " "))


def test_a_prompt_is_its_pairs_in_one_form() -> None:
    pairs = [("a b", "x"), ("c", "y z")]
    assert few_shot_prompt(pairs, "en", "de", FORMS[0]) == "a b = x\nc = y z\n"
    wanted = "English: a b\nGerman: x\n\nEnglish: c\nGerman: y z\n\n"
    assert few_shot_prompt(pairs, "en", "de", FORMS[2]) == wanted


@pytest.mark.parametrize("fraction", [0.0, 0.5])
def test_ranks_have_the_texts_of_one_between_them(fraction: float) -> None:
    whole = texts(batch_size=8, few_shot_fraction=fraction)
    parts = [texts(rank, 2, batch_size=4, few_shot_fraction=fraction) for rank in range(2)]
    assert sorted(whole) == sorted([*parts[0], *parts[1]])
