"""Where instruction samples come from, one source a file; `base` is what they have in common with the
framework.

Other packages add theirs by the entry point group `xalign.instructions`.
"""

from typing import TYPE_CHECKING

from xalign.base.registry import Registry
from xalign.data.instructions.base import InstructionSample, InstructionSampler, Source

if TYPE_CHECKING:
    from xalign.config.text import InstructionsConfig, LanguagesConfig
    from xalign.data.parallel import ParallelCorpus

__all__ = ["SOURCES", "InstructionSample", "InstructionSampler", "Source", "load_instructions"]

SOURCES: Registry[Source] = Registry(
    "xalign.data.instructions",
    "SOURCE",
    "xalign.instructions",
    skip=("base", "chats", "cross_lingual", "files", "tokens"),
)


def load_instructions(
    config: "InstructionsConfig", languages: "LanguagesConfig", corpus: "ParallelCorpus", seed: int
) -> InstructionSampler:
    """The sampler for a config; `corpus` is the training split that instructions may be made from.

    Raises:
        ConfigError: there is no such source, it is not given what it reads, or a language has no
        instructions.
        DataError, ArtifactError: the source cannot be read.
    """
    return SOURCES.load(config.source).load(config, languages, corpus, seed)
