"""Transforms of what is trained on, drawn anew at every step, one a file; `base` is what they have in common
with the framework.

Other packages add theirs by the entry point group `xalign.transforms`.
"""

from xalign.base.registry import Registry
from xalign.data.transforms.base import Transform

TRANSFORMS: Registry[type[Transform]] = Registry(
    "xalign.data.transforms", "TRANSFORM", "xalign.transforms", skip=("base", "chain")
)
