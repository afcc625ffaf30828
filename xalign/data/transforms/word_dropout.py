"""Word dropout: words of translation pairs are left out at random."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.languages import has_spaces
from xalign.config.parts import TransformConfig
from xalign.data.transforms.base import Side, Transform

if TYPE_CHECKING:
    import numpy as np

    from xalign.config.schema import Config as RunConfig
    from xalign.data.sampling import Pair

_WITH_SPACES = re.compile(r"\s*\S+")


class WordDropout(Transform):
    """Leaves out each word of a sentence with the same probability, independently; one always stays.

    The first half of the noise of Lample et al. (ICLR 2018, section 2.3: `p_wd` = 0.1; they shuffle words as
    well), after Iyyer et al. (ACL 2015, section 3.1, who leave out 30 %). The two sides of a pair lose words
    that do not correspond, so that no single word can be relied on to match the pair. Gao et al. (EMNLP 2021,
    table 1) found it worse than the model's own dropout for English sentence embeddings: measure its use.

    A word is what stands between spaces, with its punctuation. Languages that are written without spaces stay
    as they are; so do instructions, whose answer would be asked for words that the prompt no longer has.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(TransformConfig):
        probability: Annotated[float, Field(ge=0, lt=1)] = 0.1
        """Probability of each word to be left out."""
        side: Side = Side.both
        """Which side of a pair loses words: `both`, the `source` (in the pivot language), or the `target`."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            thinned = [] if self.side is Side.target else [config.languages.pivot]
            thinned += [] if self.side is Side.source else config.languages.targets
            if not any(map(has_spaces, thinned)):
                yield "side", f"nothing to leave out, {', '.join(thinned)}: written without spaces"

    config: Config

    def pair(self, pair: "Pair", rng: "np.random.Generator") -> "Pair":
        source, target = pair.source, pair.target
        if self.config.side is not Side.target and has_spaces(self.setup.pivot):
            source = self._thinned(source, rng)
        if self.config.side is not Side.source and has_spaces(pair.target_language):
            target = self._thinned(target, rng)
        return replace(pair, source=source, target=target)

    def _thinned(self, text: str, rng: "np.random.Generator") -> str:
        words = _WITH_SPACES.findall(text)
        if not words:
            return text
        drawn = rng.random(len(words))
        stay = drawn >= self.config.probability
        if stay.all():
            return text  # to the character, so that its tokens are found in the cache
        stay[drawn.argmax()] = True
        return "".join(word for word, stays in zip(words, stay, strict=True) if stays).strip()


TRANSFORM = WordDropout
