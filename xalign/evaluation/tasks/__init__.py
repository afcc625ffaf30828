"""One measurement a file: every module here has a `TASK`, and is named in configs as its file is."""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xalign.evaluation.task import Task


def names() -> list[str]:
    """Names of all tasks; imports none of them."""
    return sorted(module.name for module in iter_modules(__path__))


def load(name: str) -> "Task":
    """The task of a name out of `names()`."""
    task: Task = import_module(f"{__name__}.{name}").TASK
    return task
