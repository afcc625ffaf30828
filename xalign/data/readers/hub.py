"""Datasets of the Hugging Face hub.

Languages are in a `translation` record, or mapped by `data.columns`, or each in a configuration of its own.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from xalign.base.errors import ConfigError, DataError, did_you_mean
from xalign.base.languages import canonical, is_language
from xalign.config.text import DataConfig
from xalign.data.readers.base import Reader, Source
from xalign.data.readers.records import Record, rows_from_records
from xalign.data.rows import Row
from xalign.sources.hub_sets import commit_of_set, stated_configurations

TEXT_COLUMNS = ("text", "sentence")
"""Where sets of one language a configuration have their text: FLORES+, and FLORES-200 before it."""


class HubReader(Reader):
    """`data.hub=ID data.hub_config=NAME`: columns as in JSON, or a configuration a language or pair."""

    @classmethod
    def recognises(cls, source: Source) -> bool:
        return source.data.hub is not None and source.path is None

    def files(self) -> list[Path]:
        return []

    @cached_property
    def _commit(self) -> str | None:
        data = self.source.data
        # That of the copy as files, where the set is a script.
        return commit_of_set(str(data.hub), data.hub_revision) or data.hub_revision

    def revision(self) -> str | None:
        """The commit that the branch is at: what is read is part of the cache's key."""
        return self._commit

    def check(self) -> None:
        """Before anything is fetched: is every pair, or every language, a configuration of the set?

        Raises:
            ConfigError: some are not; all of them are named.
        """
        data, key = self.source.data, self.source.key
        languages = [self.source.pivot, *self.source.targets] if self.source.targets else []
        wanted = [own for own in _configurations(data.hub_config, languages, key) if own is not None]
        there = stated_configurations(str(data.hub), self.revision())
        if there is None or "{" not in (data.hub_config or "") or data.hub_config == "{language}":
            return  # `load` says what is wrong
        lacking = [name for name in wanted if name not in there]
        if not lacking:
            return
        pairs = list(zip(self.source.targets, wanted, strict=True))
        bad = ", ".join(code for code, name in pairs if name in lacking)
        good = ",".join(code for code, name in pairs if name not in lacking) or "none"
        raise ConfigError(
            [
                f"{key}.hub: dataset '{data.hub}' has no configuration {', '.join(lacking)}: leave {bad} out "
                f"of languages.targets and languages.unseen (of those asked for, it has: {good})"
            ]
        )

    def rows(self) -> Iterator[Row]:
        """The pivot's configuration first, where each language has one."""
        from xalign.data.on_hub import load

        data, key = self.source.data, self.source.key
        assert data.hub is not None
        languages = [self.source.pivot, *self.source.targets] if self.source.targets else []
        if data.hub_config == "{language}":
            yield from _one_configuration_a_language(data, languages, key, self.revision())
            return
        self.check()
        for config in _configurations(data.hub_config, languages, key):
            dataset = load(data.hub, config, data.hub_split, key, self.revision())
            place = data.hub if config is None else f"{data.hub} {config}"
            records: Iterator[tuple[str, Record]] = (
                (f"{place}, row {number}", record) for number, record in enumerate(dataset)
            )
            yield from rows_from_records(records, self.source, place, uniform=True)


READER = HubReader


def _configurations(template: str | None, languages: Sequence[str], key: str) -> list[str | None]:
    """The configurations to read: one, or with `{first}-{second}` one a pair, in alphabetical order."""
    if template is None or "{" not in template:
        return [template]
    if not languages:
        raise ConfigError([f"{key}.languages: required with {key}.hub_config={template}, but not given"])
    pivot, *targets = languages
    pairs = [sorted((pivot, target)) for target in targets]
    return [template.format(first=first, second=second) for first, second in pairs]


def _one_configuration_a_language(
    data: DataConfig, languages: Sequence[str], key: str, revision: str | None
) -> Iterator[Row]:
    """Rows of configurations such as `eng_Latn`, joined by `id`, or line by line where there is none."""
    from xalign.data.on_hub import configuration_names, load

    name = str(data.hub)
    configs: dict[str, str] = {}
    for config in sorted(configuration_names(name, key, revision)):
        if is_language(config):
            configs.setdefault(canonical(config), config)
    if lacking := [code for code in languages if code not in configs]:
        raise DataError(
            f"{key}.hub: dataset '{name}' has no configuration in '{lacking[0]}'"
            f"{did_you_mean(lacking[0], configs)}"
        )
    rows: dict[object, dict[str, str]] = {}
    for code in languages or configs:
        dataset = load(name, configs[code], data.hub_split, key, revision)
        column = next((c for c in TEXT_COLUMNS if c in dataset.column_names), None)
        if column is None:
            raise DataError(
                f"{key}.hub: dataset '{name}' has no column {' or '.join(TEXT_COLUMNS)} "
                f"(columns: {', '.join(dataset.column_names)})"
            )
        texts = dataset[column][:]
        numbers = dataset["id"][:] if "id" in dataset.column_names else range(len(texts))
        for number, text in zip(numbers, texts, strict=True):
            rows.setdefault(number, {})[code] = text
    for texts_of_row in rows.values():
        yield Row(name, texts_of_row)
