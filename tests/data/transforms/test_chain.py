"""The chain of transforms: in order, each sample with random numbers of its own, errors that name who is to
blame."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest

from xalign.base.errors import DataError
from xalign.config.parts import Samples, TransformConfig
from xalign.data.instructions.base import InstructionSample
from xalign.data.parallel import ParallelCorpus
from xalign.data.sampling import Pair
from xalign.data.transforms.base import Setup, Transform
from xalign.data.transforms.chain import NO_TRANSFORMS, Chain

SETUP = Setup(ParallelCorpus.from_rows([], "none"), "en", ["fr"])
PAIRS = [Pair(i, f"source {i}", f"cible {i}", "fr", i, -i) for i in range(200)]
SAMPLES = [InstructionSample(f"ask {i}:", f" answer {i}", "en", "fr", (0, 5)) for i in range(200)]


class Mark(Transform):
    """Puts a word and a random number behind the text."""

    @dataclass(frozen=True, kw_only=True)
    class Config(TransformConfig):
        word: str = "x"

    config: Config

    def pair(self, pair: Pair, rng: np.random.Generator) -> Pair:
        return replace(pair, source=f"{pair.source} {self.config.word}{rng.random()}")

    def instruction(self, sample: InstructionSample, rng: np.random.Generator) -> InstructionSample:
        return replace(sample, answer=f"{sample.answer} {self.config.word}{rng.random()}")


class PairsOnly(Transform):
    def pair(self, pair: Pair, rng: np.random.Generator) -> Pair:
        return replace(pair, target=pair.target.upper())


def mark(**options: object) -> Mark:
    return Mark(Mark.Config(kind="mark", **options), SETUP)  # type: ignore[arg-type]


def marks(chain: Chain, step: int = 0, places: range = range(200)) -> list[list[str]]:
    """What stands behind the source of each pair."""
    return [pair.source.split()[2:] for pair in chain.pairs([PAIRS[p] for p in places], list(places), step)]


def test_transforms_are_applied_in_order() -> None:
    there = marks(Chain({"a": mark(word="a"), "b": mark(word="b")}, 0))
    back = marks(Chain({"b": mark(word="b"), "a": mark(word="a")}, 0))
    assert [[m[0] for m in own] for own in there] == [["a", "b"]] * 200
    assert there == [own[::-1] for own in back]  # a transform's numbers do not depend on the others


def test_every_sample_has_numbers_of_its_own() -> None:
    def numbers(seed: int = 0, step: int = 0, name: str = "a") -> list[str]:
        return [own for (own,) in marks(Chain({name: mark()}, seed), step)]

    found = [*numbers(), *numbers(seed=1), *numbers(step=1), *numbers(name="b")]
    answers = Chain({"a": mark()}, 0).instructions(SAMPLES, range(200), 0)
    found += [own.answer.split()[-1] for own in answers]
    assert len(set(found)) == 5 * 200
    assert numbers() == numbers()


def test_numbers_follow_the_place_not_the_rank() -> None:
    chain = Chain({"a": mark(share=0.5)}, 7)
    whole = marks(chain, 3)
    assert marks(chain, 3, range(50, 80)) == whole[50:80]


def test_a_share_of_the_samples_is_changed() -> None:
    changed = sum(map(len, marks(Chain({"a": mark(share=0.3)}, 0))))
    assert changed == pytest.approx(60, abs=4 * (200 * 0.3 * 0.7) ** 0.5)
    assert not any(marks(Chain({"a": mark(share=0.0)}, 0)))
    assert all(marks(Chain({"a": mark(share=1.0)}, 0)))


@pytest.mark.parametrize("asked", list(Samples))
def test_only_the_samples_that_are_asked_for_are_changed(asked: Samples) -> None:
    chain = Chain({"a": mark(samples=asked)}, 0)
    assert (chain.pairs(PAIRS, range(200), 0) != PAIRS) == (asked is not Samples.instructions)
    assert (chain.instructions(SAMPLES, range(200), 0) != SAMPLES) == (asked is not Samples.pairs)


def test_what_a_transform_does_not_override_stays() -> None:
    chain = Chain({"a": PairsOnly(TransformConfig(kind="upper"), SETUP)}, 0)
    assert chain.pairs(PAIRS[:1], [0], 0)[0].target == "CIBLE 0"
    assert chain.instructions(SAMPLES, range(200), 0) == SAMPLES
    assert PairsOnly.changes() == {Samples.pairs}
    assert PairsOnly.changes(Samples.instructions) == set()
    assert Mark.changes(Samples.instructions) == {Samples.instructions}


def test_no_transforms_change_nothing() -> None:
    assert NO_TRANSFORMS.pairs(PAIRS, range(200), 0) == PAIRS
    assert NO_TRANSFORMS.instructions(SAMPLES, range(200), 0) == SAMPLES


def broken(change: Callable[[object], object]) -> Chain:
    class Broken(Transform):
        def pair(self, pair: Pair, rng: np.random.Generator) -> Pair:
            return change(pair)  # type: ignore[return-value]

        def instruction(self, sample: InstructionSample, rng: np.random.Generator) -> InstructionSample:
            return change(sample)  # type: ignore[return-value]

    return Chain({"ours": mark(), "theirs": Broken(TransformConfig(kind="broken"), SETUP)}, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row": 9}, "changed row of a pair; it may change source and target alone"),
        ({"target_language": "de", "source_key": 9}, "changed target_language, source_key of a pair"),
        ({"target": " "}, "left no text on a side of a pair"),
    ],
)
def test_a_pair_that_became_another_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=rf"^data\.transforms\.theirs: the transform {message}"):
        broken(lambda pair: replace(pair, **changes)).pairs(PAIRS[:1], [0], 0)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prompt": "a:"}, r"left input=\(0, 5\), which is not within the prompt of 2 characters"),
        ({"answer": ""}, "left an instruction sample without an answer"),
    ],
)
def test_an_instruction_that_is_none_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=rf"^data\.transforms\.theirs: the transform {message}"):
        broken(lambda own: replace(own, **changes)).instructions(SAMPLES[:1], [0], 0)  # type: ignore[type-var]
