"""What the config groups `data`, `languages` and `instructions` must say. Imports nothing heavy."""

from collections.abc import Iterator

from xalign.config.choices import ChatTemplate
from xalign.config.problems import one_of
from xalign.config.schema import Config, EvaluateConfig, TextConfig
from xalign.data import mixing, reading
from xalign.data.instructions import SOURCES


def rules(config: Config | EvaluateConfig | TextConfig) -> Iterator[str]:
    """What can be said of the text before any of it is looked at."""
    if not (config.data.is_given or config.data.sources):
        yield "data.path: required, but not given (or data.hub, data.packages or data.sources)"
    yield from mixing.rules(config.data)
    if config.data.validation_fraction + config.data.test_fraction >= 1:
        yield "data.validation_fraction + data.test_fraction: must leave something to train on"
    for part in mixing.parts_of(config.data):
        if part.data.hub_revision is not None and not part.data.hub:
            yield f"{part.key}.hub_revision={part.data.hub_revision}: of {part.key}.hub, which is not given"
        yield from reading.rules(part.data, part.key)
    if not isinstance(config, Config):
        for name in config.data.transforms:
            yield f"data.transforms.{name}: of training; what is measured is never transformed"
    else:
        source = config.instructions.source
        if source not in SOURCES:
            yield one_of("instructions.source", source, SOURCES.names())
        else:
            yield from SOURCES.load(source).problems(config.instructions)
        if config.instructions.system is not None and config.instructions.template is ChatTemplate.plain:
            yield f"instructions.system={config.instructions.system}: of a chat; instructions.template=plain"
        yield from _training_rules(config)


def _training_rules(config: Config) -> Iterator[str]:
    languages = config.languages
    if not languages.targets:
        yield "languages.targets=[]: at least one language is needed beside the pivot"
    if languages.pivot in languages.targets:
        yield f"languages.targets: {languages.pivot} is the pivot; it cannot be its own target"
    for name, codes in (("targets", languages.targets), ("unseen", languages.unseen)):
        for twice in sorted({c for c in codes if codes.count(c) > 1}):
            yield f"languages.{name}: {twice} is given twice"
    for both in sorted(set(languages.unseen) & {*languages.targets, languages.pivot}):
        yield f"languages.unseen: {both} is also trained on"
