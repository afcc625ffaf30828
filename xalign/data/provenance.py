"""Where the rows of a corpus come from, and under which licence, for the report and the model card."""

from collections import Counter
from dataclasses import dataclass

from xalign.config.text import DataConfig
from xalign.data.mixing import parts_of
from xalign.data.parallel import ParallelCorpus
from xalign.sources.packages import PACKAGES


@dataclass(frozen=True)
class TextSource:
    """A package, file or hub set that rows come from."""

    name: str
    rows: int
    licence: str | None


def text_sources(data: DataConfig, corpus: ParallelCorpus) -> list[TextSource]:
    """The sources, the largest first. A licence is known of packages, and of `data.sources` that say it."""
    corpora = corpus.corpora
    rows = Counter(zip(corpora or [data.name] * len(corpus), corpus.table["source"], strict=True))
    licences: dict[tuple[str, str], str] = {}
    for part in parts_of(data):
        for name in part.data.packages:
            package = PACKAGES[name]
            for own in (name, f"{package.wheel.split('-')[0]}-{package.version}"):
                licences[part.name, own] = package.licence
    stated = {name: source.licence for name, source in data.sources.items()}
    return [
        TextSource(
            name if corpora is None or corpus_name == name else f"{corpus_name}: {name}",
            count,
            stated.get(corpus_name) or licences.get((corpus_name, name)),
        )
        for (corpus_name, name), count in rows.most_common()
    ]
