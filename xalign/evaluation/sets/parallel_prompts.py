"""Few-shot prompts from parallel text: `{x} = {y}` a line, and `{x} =` at the end; in a chat that is asked.

Demonstrations and question are written by one formatter, here, for choosing and for making translations.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from xalign.base.errors import DataError
from xalign.base.files import digest
from xalign.data.parallel import ParallelCorpus
from xalign.evaluation.engine.generation import require_room
from xalign.evaluation.engine.similarity import distinct_pairs, fold
from xalign.evaluation.prompts import PromptForm, Shown, prompt_form
from xalign.evaluation.sets.sentences import Pairs, sentence_pairs
from xalign.evaluation.task import Setting

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xalign.models.backbone import Backbone

log = logging.getLogger(__name__)

T = TypeVar("T")


def question(source: str) -> str:
    """What stands before a translation, in demonstrations and at the end alike."""
    return f"{source} ="


def demonstrations_of(shown: Pairs) -> list[Shown]:
    """Demonstrations as they stand before a question."""
    return [Shown(question(x), y, end="\n") for x, y in shown]


@dataclass(frozen=True)
class Direction:
    """Translation one way with its demonstrations: `into` a language, or `from` it."""

    language: str
    name: str
    written: str
    """The language of the answers."""
    pairs: Pairs
    """(source, reference)."""
    shown: Pairs
    form: PromptForm

    def prompts(self, tokenizer: "PreTrainedTokenizerBase") -> list[str]:
        """What stands before each answer."""
        shown = demonstrations_of(self.shown)
        return [self.form.prompt(tokenizer, shown, question(source)) for source, _ in self.pairs]

    def require_room(self, backbone: "Backbone") -> None:
        """Raise DataError where a prompt leaves no room for an answer."""
        require_room(backbone, self.prompts(backbone.tokenizer))

    @property
    def key(self) -> dict[str, object]:
        """All that figures depend on besides the model."""
        shown = "".join(own.text for own in demonstrations_of(self.shown))
        return {"direction": self.name, "pairs": digest(self.pairs), "prefix": digest(shown), **self.form.key}

    def in_language(self, pairs: Pairs) -> list[str]:
        """The sides of such pairs that are in the language itself."""
        return [pair[self.name == "into"] for pair in pairs]


def directions(
    setting: Setting, task: str, shots: int, shots_key: str, limit: int | None = None
) -> Iterator[Direction]:
    """Both directions of each language, the first `limit` pairs; demonstrations are none of all pairs.

    Raises:
        DataError: no language has pairs, or demonstrations are wanted, and there is no text for them.
    """
    for language, pairs in sentence_pairs(setting, task).items():
        shown = shown_before(setting, language, pairs, setting.rng(language), task, shots, shots_key)
        asked = pairs[:limit]
        form = prompt_form(setting.benchmark)
        yield Direction(language, "into", language, asked, shown, form)
        yield Direction(language, "from", setting.pivot, _turned(asked), _turned(shown), form)


def _turned(pairs: Pairs) -> Pairs:
    return [(y, x) for x, y in pairs]


def shown_before(
    setting: Setting,
    language: str,
    measured: Pairs,
    rng: np.random.Generator,
    task: str,
    shots: int,
    shots_key: str,
) -> Pairs:
    """Demonstrations in a language; fewer than `shots`, with a warning, where the text has fewer.

    Raises:
        DataError: demonstrations are wanted, and there is no text for them; names `shots_key`.
    """
    if shots == 0:
        return []
    candidates = text_to_show(setting, shots, shots_key).pairs(setting.pivot, language)
    return drawn(free_pairs(candidates, measured), shots, rng, task, language)


def text_to_show(setting: Setting, shots: int, shots_key: str) -> ParallelCorpus:
    """The text that demonstrations come from.

    Raises:
        DataError: there is none; names `shots_key`.
    """
    name = setting.benchmark.name
    if setting.demonstrations is None:
        raise DataError(
            f"{shots_key}={shots}: '{name}' has no text for demonstrations apart from what it measures; "
            f"set {shots_key}=0"
        )
    return setting.demonstrations


def free_pairs(candidates: Pairs, measured: Pairs) -> Pairs:
    """The distinct pairs out of `candidates` that share no side with a measured pair."""
    known = {fold(side) for pair in measured for side in pair}
    return [p for _, p in distinct_pairs(candidates) if not known & {fold(side) for side in p}]


def drawn(free: Sequence[T], shots: int, rng: np.random.Generator, task: str, language: str) -> list[T]:
    """`shots` of what may be shown; fewer, with a warning, where there are fewer."""
    if len(free) < shots:
        log.warning("%s: %s has only %d demonstrations", task, language, len(free))
    return [free[k] for k in rng.choice(len(free), min(shots, len(free)), replace=False)] if free else []
