"""Parts that come one a file: those in a folder of this package, and those that other packages add.

A part in this package is a module with the attribute that its folder is about (`OBJECTIVE`, `TASK`, `READER`
...), and is named as its file. Another package declares an entry point of the folder's group, which names the
object itself:

    [project.entry-points."xalign.objectives"]
    matching = "my_package.matching:Matching"

Names are known without importing anything.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from pkgutil import iter_modules
from typing import Generic, TypeVar

from xalign.base.errors import ConfigError, did_you_mean

T = TypeVar("T")


@dataclass(frozen=True)
class Short:
    """A shorter key of an option, as in `Annotated[float, Short("loss.tau")]`: it sets the option of every
    part that has it and is not given its own.

    Of objectives, the whole key, in which `{kind}` stands for the kind of objective. Of tasks, the name in
    the group of the benchmark: `Short("poolings")` is `benchmark.poolings` and `validation.poolings`.
    """

    key: str


class Registry(Generic[T]):
    """The parts of one kind, by name."""

    def __init__(self, package: str, attribute: str, group: str, *, skip: Sequence[str] = ()) -> None:
        """
        Args:
            package: dotted name of the folder with ours.
            attribute: of each module there, the part.
            group: of the entry points by which other packages add theirs.
            skip: modules of the folder that are no parts.
        """
        self.package, self.attribute, self.group, self.skip = package, attribute, group, skip

    @cached_property
    def _own(self) -> list[str]:
        folder = Path(__file__).parents[1].joinpath(*self.package.split(".")[1:])
        return sorted(m.name for m in iter_modules([str(folder)]) if m.name not in self.skip)

    @property
    def _others(self) -> Mapping[str, EntryPoint]:
        return _entry_points(self.group)

    def own_names(self) -> list[str]:
        """Names of the parts in this package, sorted."""
        return self._own

    def names(self) -> list[str]:
        """Names of all parts, sorted."""
        return sorted({*self._own, *self._others})

    def __contains__(self, name: object) -> bool:
        return name in self._own or name in self._others

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def load(self, name: str) -> T:
        """The part of a name out of `names()`.

        Raises:
            ConfigError: there is none of that name, two packages have it, or the other package cannot be
            imported.
        """
        if name in self._own and name in self._others:
            where = _place(self._others[name])
            raise ConfigError([f"{self.group}: '{name}' is one of xalign's own; {where} needs another name"])
        if name in self._own:
            found: T = getattr(import_module(f"{self.package}.{name}"), self.attribute)
            return found
        if name not in self._others:
            names = ", ".join(self.names())
            raise ConfigError([f"{self.group}: no '{name}'{did_you_mean(name, self)} (there are: {names})"])
        return _loaded(self._others[name])


def packages_with_parts() -> list[str]:
    """Top-level names of the installed packages that add parts to any registry of ours, sorted."""
    points = (point for group in _groups() for point in entry_points(group=group))
    return sorted({point.module.partition(".")[0] for point in points})


def _groups() -> list[str]:
    return sorted(group for group in entry_points().groups if group.startswith("xalign."))


@cache
def _entry_points(group: str) -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


@cache
def _loaded(point: EntryPoint) -> T:  # type: ignore[type-var]
    try:
        found: T = point.load()
    except Exception as error:  # another package's code: anything can go wrong
        what = f"'{point.name}' of {_place(point)} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError([f"{point.group}: {what}"]) from error
    return found


def _place(point: EntryPoint) -> str:
    package = f"package {point.dist.name}" if point.dist is not None else "another package"
    return f"{package} ({point.value})"
