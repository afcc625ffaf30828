"""The objectives that a model is aligned by, one a file; `base` is what they have in common with the
framework.

Other packages add theirs by the entry point group `xalign.objectives`.
"""

from importlib import import_module
from pkgutil import iter_modules

from xalign.objectives.base import Objective

NOT_OBJECTIVES = ("base", "kernels")


def names() -> list[str]:
    """Kinds of objectives; imports none of them."""
    return sorted(m.name for m in iter_modules(__path__) if m.name not in NOT_OBJECTIVES)


def load(kind: str) -> type[Objective]:
    """The objective of a kind out of `names()`."""
    found: type[Objective] = import_module(f"{__name__}.{kind}").OBJECTIVE
    return found
