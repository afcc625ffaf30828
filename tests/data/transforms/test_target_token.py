from dataclasses import replace

import numpy as np

from xalign.data.instructions.base import InstructionSample
from xalign.data.parallel import ParallelCorpus
from xalign.data.transforms.base import Setup
from xalign.data.transforms.target_token import TargetToken

SETUP = Setup(ParallelCorpus.from_rows([], "none"), "en", ["de", "th"])
SAMPLE = InstructionSample("the sky =", " der Himmel", "en", "de", (0, 7))


def changed(sample: InstructionSample) -> InstructionSample:
    own = TargetToken(TargetToken.Config(kind="target_token"), SETUP)
    return own.instruction(sample, np.random.default_rng(0))


def test_the_answer_s_language_stands_before_the_prompt() -> None:
    found = changed(SAMPLE)
    assert found == replace(SAMPLE, prompt="<2de> the sky =", input=(6, 13))
    assert found.input is not None
    assert found.prompt[slice(*found.input)] == "the sky"


def test_of_a_few_shot_prompt_before_the_first_demonstration() -> None:
    shown = replace(SAMPLE, demonstrations=(("a =", " b"), ("c =", " d")), answer_language="th")
    found = changed(shown)
    assert found.demonstrations == (("<2th> a =", " b"), ("c =", " d"))
    assert (found.prompt, found.input) == (SAMPLE.prompt, SAMPLE.input)


def test_what_is_to_be_continued_stays() -> None:
    assert changed(replace(SAMPLE, input=None)) == replace(SAMPLE, input=None)
