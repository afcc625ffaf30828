"""The objectives that a model is aligned by, one a file; `base` is what they have in common with the
framework.

Other packages add theirs by the entry point group `xalign.objectives`.
"""

from xalign.base.registry import Registry
from xalign.objectives.base import Objective

OBJECTIVES: Registry[type[Objective]] = Registry(
    "xalign.objectives",
    "OBJECTIVE",
    "xalign.objectives",
    skip=("answered", "answers", "base", "kernels", "multiplier", "pairs", "passes"),
)
