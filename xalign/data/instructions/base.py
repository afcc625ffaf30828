"""What a source of instructions is: the contract between a set of instructions and the framework.

Importing this module, and the modules of sources, is cheap: the configuration is checked before torch is
imported. What a source reads with is imported where it is used.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from xalign.base.languages import english_name
from xalign.data.rows import InstructionRow, Turn

if TYPE_CHECKING:
    import numpy as np

    from xalign.config.text import InstructionsConfig, LanguagesConfig
    from xalign.data.parallel import ParallelCorpus

STREAM = 1
"""Keeps the random numbers of instructions apart from those of pairs, which share seed and step."""


@dataclass(frozen=True)
class InstructionSample:
    """A prompt and the answer that is supervised. The space between them starts the answer."""

    prompt: str
    answer: str
    prompt_language: str
    answer_language: str
    input: tuple[int, int] | None = None
    """Where in the prompt the input stands (first character, one past the last): what is cut first where a
    sample is too long. Before it is the instruction, after it what asks for the answer. None: all of the
    prompt is input, which the answer continues."""
    demonstrations: tuple[tuple[str, str], ...] = ()
    """(prompt, answer) of what is shown before; these answers are supervised as well. Where a sample is too
    long, the first ones are left out."""

    def with_input(self, text: str) -> "InstructionSample":
        """The sample with another text in the place of its input, of one that has a place for it."""
        assert self.input is not None
        first, last = self.input
        prompt = self.prompt[:first] + text + self.prompt[last:]
        return replace(self, prompt=prompt, input=(first, first + len(text)))


def asked_sample(asked: Turn, answered: Turn, language: str, answer_language: str) -> InstructionSample:
    """`{instruction} {input} Answer in {language}: {output}`, asked as one turn says and answered as the
    other does (Li et al., NAACL 2024, section 3.2)."""
    instruction, given = asked.instruction.strip(), asked.input.strip()
    text = " ".join(filter(None, (instruction, given)))
    # Without an input the instruction is what has to give way.
    cut = (len(text) - len(given or instruction), len(text))
    prompt = f"{text} Answer in {english_name(answer_language)}:".lstrip()
    return InstructionSample(prompt, f" {answered.output.strip()}", language, answer_language, cut)


class InstructionSampler(Protocol):
    """Draws the samples of a step."""

    def batch(self, step: int, size: int, rank: int = 0, ranks: int = 1) -> list[InstructionSample]:
        """This rank's `size` samples of the step's global batch: a function of (seed, step) alone."""
        ...

    def texts(self, language: str) -> Iterable[str]:
        """The texts in a language that samples are made of, apart from the corpus's: the model is trained on
        them, so that nothing of them may be in a test."""
        ...


class Source(Protocol):
    """A kind of instructions: one in a file, as the object `SOURCE`."""

    def problems(self, config: "InstructionsConfig") -> Iterator[str]:
        """What is wrong with the configuration, each as a sentence that names the key."""
        ...

    def load(
        self,
        config: "InstructionsConfig",
        languages: "LanguagesConfig",
        corpus: "ParallelCorpus",
        seed: int,
    ) -> InstructionSampler:
        """Read what there is to read; `corpus` is the training split."""
        ...


@dataclass(frozen=True)
class RowSource:
    """A set of instructions that are there in several languages: asked in one, answered in another."""

    read: Callable[["InstructionsConfig", Sequence[str]], Iterable[InstructionRow]]
    """The rows in some languages; a row may lack some of them. Raises DataError or ArtifactError."""
    hub: bool = False
    """Whether it is read from `instructions.hub` too, not from `instructions.path` alone."""

    def problems(self, config: "InstructionsConfig") -> Iterator[str]:
        if config.hub and not self.hub:
            yield f"instructions.hub={config.hub}: instructions.source={config.source} is read from a folder"
        elif not (config.path or config.hub):
            what = f"the folder of instructions.source={config.source}"
            yield f"instructions.path: required, but not given ({what})"

    def load(
        self,
        config: "InstructionsConfig",
        languages: "LanguagesConfig",
        corpus: "ParallelCorpus",
        seed: int,
    ) -> InstructionSampler:
        from xalign.data.instructions.cross_lingual import CrossLingualInstructions

        rows = list(self.read(config, [languages.pivot, *languages.targets]))
        return CrossLingualInstructions(rows, languages, config, seed)


def part_of_rank(
    sample: Callable[["np.random.Generator"], InstructionSample],
    seed: Sequence[int],
    size: int,
    rank: int,
    ranks: int,
) -> list[InstructionSample]:
    """The global batch of `size * ranks` samples drawn from the seed, and of it this rank's part."""
    import numpy as np

    rng = np.random.default_rng(seed)
    sampled = [sample(rng) for _ in range(size * ranks)]
    return sampled[rank * size : (rank + 1) * size]
