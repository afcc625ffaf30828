"""Instructions in one language, answered in another (CIF).

Li et al., NAACL 2024, section 3.2: an instruction in language s is answered in language t; with probability
`p_cross` s and t differ, and then one side is the pivot.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from xalign.base.errors import ConfigError
from xalign.config.text import InstructionsConfig, LanguagesConfig
from xalign.data.instructions.base import STREAM, InstructionSample, asked_sample, part_of_rank
from xalign.data.rows import InstructionRow
from xalign.data.sampling import language_probabilities


class CrossLingualInstructions:
    """`{instruction} {input} Answer in {language}: {output}` from rows that exist in several languages."""

    def __init__(
        self,
        rows: Sequence[InstructionRow],
        languages: LanguagesConfig,
        config: InstructionsConfig,
        seed: int,
    ) -> None:
        self.pivot, self.config, self.seed = languages.pivot, config, seed
        self.targets = list(languages.targets)
        self.rows = {t: [r for r in rows if {self.pivot, t} <= r.turns.keys()] for t in self.targets}
        missing = [t for t in self.targets if not self.rows[t]]
        if missing:
            have = sorted({code for row in rows for code in row.turns})
            raise ConfigError(
                f"instructions: no instruction is in both {self.pivot} and {t} "
                f"(languages there: {', '.join(have)})"
                for t in missing
            )
        counts = [len(self.rows[t]) for t in self.targets]
        self.probabilities = language_probabilities(counts, languages.temperature)

    def batch(self, step: int, size: int, rank: int = 0, ranks: int = 1) -> list[InstructionSample]:
        return part_of_rank(self._draw, [self.seed, step, STREAM], size, rank, ranks)

    def texts(self, language: str) -> Iterator[str]:
        # In the pivot, a row that several targets have is one.
        own = self.targets if language == self.pivot else [language]
        for row in {id(row): row for t in own for row in self.rows.get(t, ())}.values():
            turn = row.turns[language]
            yield from filter(None, (turn.instruction, turn.input, turn.output))

    def _draw(self, rng: np.random.Generator) -> InstructionSample:
        target = str(rng.choice(self.targets, p=self.probabilities))
        rows = self.rows[target]
        turns = rows[rng.integers(len(rows))].turns
        cross, swap = rng.random() < self.config.p_cross, rng.random() < self.config.p_swap
        source, answer = (target, self.pivot) if swap else (self.pivot, target)
        if not cross:
            source = answer
        return asked_sample(turns[source], turns[answer], source, answer)
