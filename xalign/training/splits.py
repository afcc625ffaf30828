"""The corpus of a run, split, and found to be enough to train on."""

from collections.abc import Iterator

from xalign.base.errors import ConfigError
from xalign.config.schema import Config
from xalign.data.cleaning import CleaningReport
from xalign.data.parallel import ParallelCorpus, Splits, load_corpus, split_corpus, wanted_languages
from xalign.data.sampling import different_pairs, too_few_pairs
from xalign.objectives import OBJECTIVES


def load_splits(config: Config) -> tuple[Splits, CleaningReport]:
    """Read and split the corpus.

    Raises:
        ConfigError: a language has no pairs with the pivot, or too few for its share of a batch.
        DataError, ArtifactError: the source cannot be read.
    """
    pivot = config.languages.pivot
    corpus, cleaning = load_corpus(config.data, pivot, wanted_languages(config.languages))
    splits = split_corpus(corpus, pivot, config.data.validation_fraction, config.data.test_fraction)
    if problems := list(_too_few(splits.train, config)):
        raise ConfigError(problems)
    return splits, cleaning


def _too_few(train: ParallelCorpus, config: Config) -> Iterator[str]:
    """Languages of which a batch could not be made; an objective that takes no pairs needs one all the same,
    to make instructions of."""
    trainer, pivot = config.trainer, config.languages.pivot
    kinds = {own.kind for own in config.loss.objectives.values()}
    count = 1
    if any(OBJECTIVES.load(kind).samples_pairs for kind in kinds):
        count = trainer.batch_size // trainer.languages_per_batch * config.ranks
    for target in config.languages.targets:
        found = different_pairs(train, pivot, target, count)
        if found < count:
            yield too_few_pairs(trainer.batch_size, target, count, found)
