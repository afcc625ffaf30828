"""What `python -m xalign.data` does with parallel text."""

import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xalign.base.errors import ConfigError
from xalign.base.files import write_atomically
from xalign.base.progress import progress_bar
from xalign.config.schema import DataToolConfig
from xalign.data.cleaning import CleaningReport
from xalign.data.mixing import parts_of
from xalign.data.parallel import ParallelCorpus, load_corpus, split_corpus, wanted_languages
from xalign.data.provenance import text_sources
from xalign.data.readers.base import Source
from xalign.data.reading import reader_of
from xalign.data.rows import Row
from xalign.options.plain import plain_without_short_keys
from xalign.workspace.environment import quiet_libraries, set_up_logging

log = logging.getLogger(__name__)


def inspect(config: DataToolConfig) -> None:
    """Print what the text holds; with `output`, write it as JSON and a picture beside it."""
    from xalign.data.inspection import inspect as look_into
    from xalign.reporting.text import draw_inspection, print_inspection

    output = Path(config.output) if config.output else None
    found = look_into(config.data, config.languages.pivot, _targets(config), config.samples)
    print_inspection(found)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, json.dumps(found.as_json(), ensure_ascii=False, indent=1))
        draw_inspection(found, output.with_suffix(".png"))
        print(f"written: {output}, {output.with_suffix('.png')}")


def prepare(config: DataToolConfig) -> None:
    """Write the cleaned corpus as a store."""
    from xalign.data.store import write_store

    folder = _folder(config)
    corpus, report = _corpus(config)
    values = plain_without_short_keys(config)
    made_of: dict[str, Any] = {
        "pivot": config.languages.pivot,
        "data": values["data"],
        "text_sources": [asdict(source) for source in text_sources(config.data, corpus)],
        "xalign": version("xalign"),
    }
    write_store(folder, corpus, report, made_of)
    targets = [code for code in corpus.languages if code != config.languages.pivot]
    print(f"{report.summary()}\nwritten: {folder} ({len(corpus):,} rows)")
    print(f"train on it: python -m xalign.run data.path={folder} languages.targets=[{','.join(targets)}]")


def convert(config: DataToolConfig) -> None:
    """Write the rows as they are, in the layout that the output's name asks for."""
    from xalign.data.writing import ending_of, write_rows

    ending_of(config.output)
    output = Path(str(config.output))
    targets = _targets(config)
    if not targets and output.suffix != ".jsonl" and output.suffix != ".tmx":
        targets = _languages_of(config)
    languages = [config.languages.pivot, *targets]
    faults: dict[str, int] = {}
    with progress_bar("rows", 0) as advance:
        count = write_rows(output, _usable(_rows(config, targets), faults, advance), languages)
    left_out = ", ".join(f"{reason} {n:,}" for reason, n in faults.items())
    print(f"written: {output} ({count:,} rows{f'; left out: {left_out}' if left_out else ''})")


def split(config: DataToolConfig) -> None:
    """Write the cleaned corpus in three parts that share no sentence in any language."""
    from xalign.data.writing import write_rows

    folder = _folder(config)
    corpus, report = _corpus(config)
    splits = split_corpus(
        corpus, config.languages.pivot, config.data.validation_fraction, config.data.test_fraction
    )
    print(report.summary())
    for name in ("train", "validation", "test"):
        part: ParallelCorpus = getattr(splits, name)
        rows = (
            Row(row["source"], {code: row[code] for code in part.languages if row[code] is not None})
            for row in part.table
        )
        write_rows(folder / f"{name}.jsonl", rows, part.languages)
        print(f"written: {folder / f'{name}.jsonl'} ({len(part):,} rows)")


def _targets(config: DataToolConfig) -> list[str]:
    return list(dict.fromkeys([*config.languages.targets, *config.languages.unseen]))


def _folder(config: DataToolConfig) -> Path:
    if config.output is None:
        raise ConfigError(["output: required, but not given (a folder)"])
    folder = Path(config.output)
    if folder.is_file():
        raise ConfigError([f"output={folder}: is a file; a folder is wanted"])
    return folder


def _corpus(config: DataToolConfig) -> tuple[ParallelCorpus, CleaningReport]:
    quiet_libraries()
    set_up_logging(None)
    return load_corpus(config.data, config.languages.pivot, wanted_languages(config.languages))


def _rows(config: DataToolConfig, targets: list[str]) -> Iterator[Row]:
    for part in parts_of(config.data):
        source = Source(part.data, config.languages.pivot, targets, part.key)
        yield from reader_of(source)[1].rows()


def _languages_of(config: DataToolConfig) -> list[str]:
    """All languages of the text but the pivot, sorted: for layouts with a column each."""
    found = {code for row in _rows(config, []) for code in row.texts}
    return sorted(found - {config.languages.pivot})


def _usable(rows: Iterator[Row], faults: dict[str, int], advance: Any) -> Iterator[Row]:
    for row in rows:
        advance(1)
        if row.fault is not None:
            faults[row.fault] = faults.get(row.fault, 0) + 1
            if row.message:
                print(row.message, file=sys.stderr)
        elif row.texts:
            yield row
