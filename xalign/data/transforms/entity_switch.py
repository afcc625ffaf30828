"""Entity switch: names in the pivot's sentences as another language writes them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.config.parts import TransformConfig
from xalign.data.names import names_of, pattern_of
from xalign.data.transforms.base import Setup, Transform

if TYPE_CHECKING:
    import numpy as np

    from xalign.config.schema import Config as RunConfig
    from xalign.data.instructions.base import InstructionSample
    from xalign.data.sampling import Pair


class EntitySwitch(Transform):
    """Replaces names of entities in text of the pivot by their names in another language (EntityCS,
    Whitehouse et al., Findings of EMNLP 2022, section 3.1): of a pair in the target's language, of an
    instruction's input in the answer's, or where that is the pivot's in one that is drawn. Nothing but the
    names changes; those without a name there stay.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(TransformConfig):
        names: str
        """Table (TSV) of names: columns are languages, rows entities."""
        probability: Annotated[float, Field(ge=0, le=1)] = 1.0
        """Probability to be switched, of each name."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            if not Path(self.names).expanduser().is_file():
                yield "names", "is not there"

    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        table = [own for own in names_of(Path(config.names).expanduser()) if setup.pivot in own]
        self.names = {own[setup.pivot]: own for own in table}
        self.pattern = pattern_of(list(self.names)) if self.names else None

    def pair(self, pair: "Pair", rng: "np.random.Generator") -> "Pair":
        return replace(pair, source=self._switched(pair.source, pair.target_language, rng))

    def instruction(self, sample: "InstructionSample", rng: "np.random.Generator") -> "InstructionSample":
        if sample.input is None or sample.prompt_language != self.setup.pivot:
            return sample
        language = sample.answer_language
        if language == self.setup.pivot:
            language = str(rng.choice(self.setup.targets))
        given = self._switched(sample.prompt[slice(*sample.input)], language, rng)
        return sample.with_input(given)

    def _switched(self, text: str, language: str, rng: "np.random.Generator") -> str:
        if self.pattern is None:
            return text

        def name_of(match: "re.Match[str]") -> str:
            found = self.names[match.group()].get(language)
            return found if found and rng.random() < self.config.probability else match.group()

        return self.pattern.sub(name_of, text)


TRANSFORM = EntitySwitch
