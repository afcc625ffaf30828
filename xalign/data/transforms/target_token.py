"""Target token: a token that names the language of the answer, before the prompt."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from xalign.config.parts import TransformConfig
from xalign.data.transforms.base import Transform

if TYPE_CHECKING:
    import numpy as np

    from xalign.data.instructions.base import InstructionSample


def token_of(language: str) -> str:
    """'<2de>'."""
    return f"<2{language}>"


class TargetToken(Transform):
    """Puts a token before a prompt that says in which language it is to be answered (Johnson et al., TACL
    2017, section 3, for translation by one model into many languages). Texts to be continued stay.

    It is one token where the tokenizer has it: `python -m xalign.vocabulary language_tokens=true` adds it,
    with a row that begins as the mean of the pieces of the language's name; otherwise it is several.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(TransformConfig):
        pass

    config: Config

    def instruction(self, sample: "InstructionSample", rng: "np.random.Generator") -> "InstructionSample":
        if sample.input is None:
            return sample
        mark = token_of(sample.answer_language) + " "
        first, last = sample.input
        moved = (first, last)
        if not sample.demonstrations:
            moved = (first + len(mark), last + len(mark))
            return replace(sample, prompt=mark + sample.prompt, input=moved)
        (prompt, answer), *others = sample.demonstrations
        return replace(sample, demonstrations=((mark + prompt, answer), *others), input=moved)


TRANSFORM = TargetToken
