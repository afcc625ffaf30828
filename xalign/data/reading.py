"""Which reader reads a source: the one that `data.format` names, or the one that recognises it.

Imports neither torch nor datasets: what cannot be read is known before anything is loaded.
"""

import logging
from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError

from xalign.base.errors import ConfigError, DataError, XalignError
from xalign.base.languages import is_language, unknown
from xalign.config.problems import one_of, problem
from xalign.config.text import DataConfig
from xalign.data.readers import READERS
from xalign.data.readers.base import Reader, ReaderConfig, Source
from xalign.data.readers.files import existing

log = logging.getLogger(__name__)

AUTO = "auto"
"""The value of `data.format` that leaves it to the readers."""


def reader_of(source: Source) -> tuple[str, Reader]:
    """The reader of a source, and its name.

    Raises:
        ConfigError: no reader has the name that is given, several could read the source, or an option is
            wrong.
        DataError: there is nothing at the path, or nothing that any reader knows.
    """
    problems = list(rules(source.data, source.key))
    if problems:
        raise ConfigError(problems)
    name = source.data.format if source.data.format != AUTO else _recognised(source)
    kind = READERS.load(name)
    config = _config(kind, source.data, problems, source.key)
    if config is None:
        raise ConfigError(problems)
    return name, kind(source, config)


def rules(data: DataConfig, key: str = "data") -> Iterator[str]:
    """What is wrong with the choice of a reader and its options, as far as it can be known without a file."""
    for code in data.columns:
        if not is_language(code):
            yield f"{key}.columns.{code}: {unknown(code)}"
    if data.format == AUTO:
        return
    if data.format not in READERS:
        yield one_of(f"{key}.format", data.format, [AUTO, *READERS.names()])
        return
    problems: list[str] = []
    _config(READERS.load(data.format), data, problems, key)
    yield from problems


def lookup(source: Source) -> str | None:
    """What is wrong with the path of a source: nothing there, or nothing that any reader knows."""
    try:
        reader_of(source)[1].files()
    except ConfigError as error:
        return "; ".join(error.problems)
    except XalignError as error:
        return str(error)
    return None


def _config(kind: type[Reader], data: DataConfig, problems: list[str], key: str) -> ReaderConfig | None:
    """The options of `data` as the reader's config; None, and what is wrong, where they are not."""
    try:
        return TypeAdapter(kind.Config).validate_python(dict(data.options))
    except ValidationError as error:
        for details in error.errors():
            place = ".".join([f"{key}.options", *(str(part) for part in details["loc"])])
            problems.append(problem(details, place, kind.Config))
        return None


def _recognised(source: Source) -> str:
    kinds = dict(_usable())
    found = [name for name, kind in kinds.items() if kind.recognises(source)]
    wider = {name for own in found for name in kinds[own].narrows}
    found = [name for name in found if name not in wider]
    found = found or [name for name, kind in kinds.items() if kind.claims(source)]
    if len(found) == 1:
        return found[0]
    assert source.path is not None, "data.hub and data.packages have a reader of their own"
    if found:
        answer = f"say which, as in {source.key}.format={found[0]}" if source.is_of_data else "name one file"
        raise ConfigError(
            [f"{source.key}.path={source.path}: could be read as {' or '.join(found)}; {answer}"]
        )
    existing(source.path)
    known = "; ".join(f"{name}: {kind.looks_like()}" for name, kind in kinds.items() if kind.looks_like())
    raise DataError(f"'{source.path}': not in a format that is read ({known})")


def _usable() -> Iterator[tuple[str, type[Reader]]]:
    """The readers, without those of other packages that cannot be imported."""
    for name in READERS:
        try:
            yield name, READERS.load(name)
        except ConfigError as error:
            log.warning("%s", error.problems[0])
