"""Word alignment: words and their translations, from a dictionary or mined, are pulled together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.config.choices import Pooling
from xalign.config.parts import ObjectiveConfig
from xalign.data.dictionaries import dictionary_file, missing_dictionaries
from xalign.objectives.base import BatchObjective, Figures, Needs, Rows, Setup, Work

if TYPE_CHECKING:
    from torch import Tensor

    from xalign.config.schema import Config as RunConfig
    from xalign.data.collate import Tokens
    from xalign.data.step import Part, StepData
    from xalign.objectives.passes import Pass

STREAM = 4
"""Keeps the random numbers of words apart from those of questions."""
LONGEST = 16
"""Tokens kept of a word."""


class Words(BatchObjective):
    """Pulls words and their translations together, each by itself.

    InfoNCE both ways over cosines of word vectors, the mean of a word's pieces without special tokens, with
    the other words of the batch as negatives, but for those that are the same word (BabelBERT, Vulić et al.,
    arXiv 2208.01018, NT-Xent over synonyms and translations; PreAlign, Li et al., arXiv 2407.16222, equation
    1, at every layer). Words are those of a dictionary, or mined from the training pairs as for
    `code_switch`. Runs the blocks up to its deepest layer.

    Published: BabelBERT tau 0.07, batch 256, rate 5e-6; PreAlign tau 0.1, weight 0.1, every layer and the
    output embedding, then 5 % of the input code-switched. Its release sums pieces, and masks with a logit of
    0, which stays in the denominator. Here: the mean, masked for good; the output embedding is left out,
    which tied models have as layer 0.

    Take it when there is a dictionary but little parallel text, or before anything else where words of a
    language are cut into many pieces.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(ObjectiveConfig):
        tau: Annotated[float, Field(gt=0)] = 0.07
        """Temperature of the softmax over cosine similarities."""
        batch_size: Annotated[int, Field(gt=1)] = 64
        """Words a step and rank, each with a translation."""
        layers: list[Annotated[int, Field(ge=0)]] = field(default_factory=list)
        """Layers of the word vectors, over which the loss is a mean; empty: `loss.layer`."""
        every_layer: bool = False
        """All layers, from the embeddings to the last."""
        dictionary: str | None = None
        """Folder of dictionaries: a file `<pivot>-<target>.txt` a language, a word and a translation a line,
        with a space or tab between them (as those of MUSE); null: mined from the training pairs."""
        occurrences: Annotated[int, Field(ge=2)] = 4
        """Mined: fewest pairs that a word and its translation must occur in together."""
        score: Annotated[float, Field(gt=0, le=1)] = 0.6
        """Mined: least Dice coefficient of a word and its translation."""

        def problems(self, config: "RunConfig") -> Iterator[tuple[str, str]]:
            depth = config.model.depth
            if depth is not None and any(layer > depth for layer in self.layers):
                yield "layers", f"{config.model.name} has layers 0 to {depth}"
            if self.layers and self.every_layer:
                yield "layers", "not beside every_layer=true"
            if self.dictionary is not None:
                languages = config.languages
                yield from missing_dictionaries(self.dictionary, languages.pivot, languages.targets)

    samples_pairs = False
    separable = True
    config: Config

    def __init__(self, config: Config, setup: Setup) -> None:
        super().__init__(config, setup)
        self.layers = sorted(set(config.layers)) or [setup.layer]
        if config.every_layer:
            self.layers = list(range(setup.depth + 1))
        self._known: list[tuple[int, list[tuple[str, str]]]] | None = None

    @property
    def needs(self) -> Needs:
        return Needs(max(self.layers), tokens=2 * self.config.batch_size * LONGEST)

    def sample(self, data: "StepData") -> "Part":
        from xalign.data.sampling import text_key

        rng = data.rng(STREAM)
        self._known = self._known or list(self._words(data))
        chosen: list[tuple[int, str, str]] = []
        # Every language that has words gets as many.
        for index in range(self.config.batch_size * data.ranks):
            language, words = self._known[index % len(self._known)]
            chosen.append((language, *words[int(rng.integers(len(words)))]))
        own = chosen[data.rank :: data.ranks]
        numbers = {
            "language": [language for language, _, _ in own],
            "source": [text_key(word) for _, word, _ in own],
            "target": [text_key(word) for _, _, word in own],
        }
        texts = [word for _, word, _ in own] + [word for _, _, word in own]
        return data.part(data.encode(texts, LONGEST), sides=2, numbers=numbers)

    def _words(self, data: "StepData") -> Iterator[tuple[int, list[tuple[str, str]]]]:
        """(language's number, its words and their translations) of every language that has some."""
        from xalign.base.errors import ConfigError
        from xalign.data.word_pairs import dictionary_words, mined_word_pairs

        config, pairs = self.config, data.material.pairs
        found = False
        for number, target in enumerate(sorted(pairs.targets)):
            if config.dictionary is not None:
                words = dictionary_words(dictionary_file(config.dictionary, pairs.pivot, target))
            else:
                mined = mined_word_pairs(
                    pairs.corpus.pairs(pairs.pivot, target), config.occurrences, config.score
                )
                words = sorted(mined.items())
            if len(words) > 1:
                found = True
                yield number, words
        if not found:
            what = "finds no words in the training pairs; give loss.objectives.<name>.dictionary"
            raise ConfigError([f"loss.objectives: words {what}"])

    def work(self, part: "Part") -> Work:
        count = len(part.texts.order) // 2
        product = 2 * count**2 * self.setup.width * len(self.layers)
        return Work(max(self.layers), forward=2 * product, backward=4 * product)

    def represent(self, run: "Pass", tokens: "Tokens") -> "Tensor":
        return run.backbone.represent_layers(tokens, self.layers, Pooling.mean).flatten(1)

    def loss(self, vectors: "Sequence[Tensor]", rows: Rows) -> "tuple[Tensor, Figures]":
        from xalign.config.choices import Centering
        from xalign.objectives.kernels.info_nce import info_nce

        layers = [side.unflatten(1, (len(self.layers), -1)).unbind(1) for side in vectors]
        losses, hits = [], []
        for source_ND, target_ND in zip(*layers, strict=True):
            summed, right = info_nce(
                source_ND,
                target_ND,
                groups_N=rows.numbers["language"],
                source_keys_N=rows.numbers["source"],
                target_keys_N=rows.numbers["target"],
                tau=self.config.tau,
                symmetric=True,
                centering=Centering.none,
                rows=rows.own,
            )
            losses.append(summed)
            hits.append(float(right))
        scale = len(self.layers) * rows.count
        return sum(losses[1:], losses[0]) / scale, {"accuracy": sum(hits) / scale}


OBJECTIVE = Words
