"""Datasets of the Hugging Face hub, with languages in a `translation` record or mapped by `data.columns`."""

from collections.abc import Iterator, Sequence

import datasets
import httpx

from xalign.config import DataConfig
from xalign.data.readers.records import Record, rows_from_records
from xalign.data.rows import Row
from xalign.errors import ArtifactError, ConfigError


def read(data: DataConfig, languages: Sequence[str]) -> Iterator[Row]:
    """Rows of `data.hub` in the given languages, the pivot first (none given: all)."""
    assert data.hub is not None
    for config in _configurations(data.hub_config, languages):
        dataset = load(data.hub, config, data.hub_split, key="data")
        place = data.hub if config is None else f"{data.hub} {config}"
        records: Iterator[tuple[str, Record]] = (
            (f"{place}, row {number}", record) for number, record in enumerate(dataset)
        )
        yield from rows_from_records(records, data, languages, place)


def _configurations(template: str | None, languages: Sequence[str]) -> list[str | None]:
    """The configurations to read: one, or with `{first}-{second}` one a pair, in alphabetical order."""
    if template is None or "{" not in template:
        return [template]
    pivot, *targets = languages
    pairs = [sorted((pivot, target)) for target in targets]
    return [template.format(first=first, second=second) for first, second in pairs]


def load(name: str, config: str | None, split: str, key: str) -> datasets.Dataset:
    """One split of a hub dataset.

    Raises ConfigError, with the library's list of allowed names, for a wrong configuration or split, and
    ArtifactError where the hub cannot be reached or has no such dataset; `key` is the config group to mend.
    """
    wanted = f"dataset '{name}'" + (f", configuration '{config}'" if config else "") + f", split '{split}'"
    try:
        return datasets.load_dataset(name, config, split=split)
    except ValueError as error:
        raise ConfigError([f"{key}.hub: {wanted}: {_one_line(error)}"]) from None
    except (OSError, httpx.HTTPError) as error:
        raise ArtifactError(
            f"could not get {wanted} from the Hugging Face hub: {_one_line(error)}. "
            f"Without a network, give a copy on this machine: {key}.hub=null {key}.path=<local copy>"
        ) from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
