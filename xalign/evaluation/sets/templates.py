"""Wordings of multiple-choice items: `str.format` strings over an item's fields."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from string import Formatter
from typing import Annotated

from pydantic import ConfigDict, Field

from xalign.base.errors import DataError, did_you_mean
from xalign.evaluation.items import DELIMITER, Item


@dataclass(frozen=True, kw_only=True)
class TemplateConfig:
    """How an item is asked: `str.format` strings over its fields, one a candidate or one for all."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    contexts: list[str] = field(default_factory=lambda: [""])
    """What stands before each candidate."""
    continuations: Annotated[list[str], Field(min_length=1)]
    """What is scored."""


@dataclass(frozen=True)
class Template:
    """What stands before each candidate, and the candidates; a tuple of one serves all of them.

    Continuations begin with what separates them from the context, mostly a space.
    """

    contexts: tuple[str, ...]
    continuations: tuple[str, ...]

    def fill(self, fields: Mapping[str, str], candidates: int, index: int, gold: int) -> Item:
        """The item with some fields.

        Raises:
            DataError: a text names a field that there is not, or is no format string.
        """
        contexts, continuations = (
            tuple(_format(text, fields, key) for text in texts) * (candidates // len(texts))
            for key, texts in (("contexts", self.contexts), ("continuations", self.continuations))
        )
        return Item(index, contexts, continuations, gold, self.delimiter)

    @property
    def delimiter(self) -> str:
        """What parts continuations from their contexts: a space, where all are written with one."""
        return DELIMITER if all(text.startswith(DELIMITER) for text in self.continuations) else ""


def own_template(config: TemplateConfig, name: str, candidates: int) -> Template:
    """A wording out of the configuration, for a set of a name and number of candidates.

    Raises:
        DataError: it has another number of texts than one or that.
    """
    template = Template(tuple(config.contexts), tuple(config.continuations))
    for key, texts in (("contexts", template.contexts), ("continuations", template.continuations)):
        if len(texts) not in (1, candidates):
            raise DataError(
                f"benchmark.template.{key}: {len(texts)} texts; {name} has {candidates} candidates, so that "
                f"1 or {candidates} are wanted"
            )
    return template


def _format(text: str, fields: Mapping[str, str], key: str) -> str:
    try:
        names = _field_names(text)
    except ValueError as error:
        raise DataError(f"benchmark.template.{key}: '{text}': {error}") from None
    for name in names:
        if name not in fields:
            raise DataError(
                f"benchmark.template.{key}: '{text}': no field '{name}'; there are {', '.join(fields)}"
                f"{did_you_mean(name, fields)}"
            )
    return text.format_map(fields)


@cache
def _field_names(text: str) -> Sequence[str]:
    return [name for _, name, _, _ in Formatter().parse(text) if name is not None]
