"""Restoring: how much is switched, and that the model restores instead of copying."""

from itertools import pairwise

import numpy as np
from cipher import OnCipher, in_cipher
from test_dpo import likelihoods

from xalign.data.instructions.base import InstructionSample
from xalign.objectives.restore import switched

RESTORE = ("loss=restore", "loss.instruction_weight=0", "loss.objectives.restore.batch_size=16")
NUMBERS = "one two three four five six seven eight nine ten"
KNOWN = {word: word.upper() * 2 for word in NUMBERS.split()}


def test_the_share_of_words_is_as_configured_and_others_stay() -> None:
    rng = np.random.default_rng(0)
    for share, expected in ((0.35, 4), (0.1, 1), (0.9, 9)):
        for _ in range(20):
            made = switched(NUMBERS, KNOWN, share, 3.5, rng).split()
            changed = [a != b for a, b in zip(NUMBERS.split(), made, strict=True)]
            assert sum(changed) == expected
    assert switched("(one), eleven!", {"one": "un"}, 0.99, 9, rng) == "(un), eleven!"
    assert switched("eleven twelve", KNOWN, 0.5, 3.5, rng) == "eleven twelve"
    assert switched("", KNOWN, 0.5, 3.5, rng) == ""


def test_spans_are_longer_where_their_mean_is() -> None:
    rng = np.random.default_rng(0)
    words = " ".join(["one"] * 60)
    borders = []
    for span in (1.0, 8.0):
        made = [switched(words, {"one": "x"}, 0.35, span, rng).split() for _ in range(20)]
        borders.append(sum(a != b for own in made for a, b in pairwise(own)))
    assert borders[1] < borders[0] / 2


def restored(model: OnCipher) -> float:
    """Share of held-out sentences that are likelier than a copy of what was made of them."""
    rng, samples = np.random.default_rng(3), []
    words = {word: in_cipher(word, "fr") for text in model.held_out for word in text.split()}
    for text in model.held_out:
        given = switched(text, words, 0.5, 2.0, rng)
        samples += [
            InstructionSample(f"{given} English:", f" {answer}", "en", "en") for answer in (text, given)
        ]
    found = likelihoods(model, samples)
    return float((found[::2] > found[1::2]).float().mean())


def test_it_restores_instead_of_copying() -> None:
    model = OnCipher(RESTORE, words=True).train(100)
    copying = OnCipher((*RESTORE, "loss.objectives.restore.share=0.01"), words=True).train(100)
    assert restored(model) > 0.9
    assert restored(copying) < 0.6
