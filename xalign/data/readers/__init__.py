"""Readers of parallel text, one layout a file; `base` says what a reader is. Other packages add theirs by the
entry point group `xalign.readers`.
"""

from xalign.base.registry import Registry
from xalign.data.readers.base import Reader

READERS: Registry[type[Reader]] = Registry(
    "xalign.data.readers",
    "READER",
    "xalign.readers",
    skip=("base", "files", "records", "xml"),
)
