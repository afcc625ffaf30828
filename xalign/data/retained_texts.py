"""The texts on which a model is held to what it was: its own, and the corpus's as they are used."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from xalign.base.registry import Short
from xalign.config.parts import ObjectiveConfig
from xalign.data.few_shot import drawn_form, few_shot_prompt, few_shot_turns

if TYPE_CHECKING:
    from xalign.data.sampling import Pair
    from xalign.data.step import Part, StepData

PAIRS = 12
"""Pairs of a few-shot prompt, which so is longer than what is kept of it, mostly."""
SENTENCES = 3
"""Sentences of a text of the corpus: single ones would hold the model to short contexts only, and what is
lost elsewhere would go unseen."""


@dataclass(frozen=True, kw_only=True)
class RetainedTexts(ObjectiveConfig):
    """Options of the texts on which a model is held to what it was."""

    batch_size: Annotated[int, Field(gt=0), Short("trainer.retention_batch_size")] = 2
    """Texts a step and rank on which the model is held to what it was."""
    own_fraction: Annotated[float, Field(ge=0, le=1), Short("trainer.retention_own_fraction")] = 0.5
    """Share of these texts that the model itself wrote before training; the rest is from the corpus."""
    few_shot_fraction: Annotated[float, Field(ge=0, le=1), Short("trainer.retention_few_shot_fraction")] = 0.0
    """Share of these texts that are few-shot prompts of translations from the corpus."""
    max_length: Annotated[int, Field(ge=4), Short("trainer.retention_max_length")] = 96
    """Tokens kept of such a text."""
    budget: Annotated[float | None, Field(gt=0), Short("loss.retention_budget")] = None
    """The loss that is allowed: the weight rises by and by, up to tenfold, while it is above, and falls while
    it is below; null: the weight is constant."""


def retained_texts(data: "StepData", config: RetainedTexts, pivot: str) -> "Part":
    """This rank's part of the texts of all ranks."""
    size = config.batch_size * data.ranks
    count = min(round(size * config.own_fraction), len(data.own_texts))
    own = [data.own_texts[i] for i in data.rng(0).choice(len(data.own_texts), count, replace=False)]
    prompts = min(round(size * config.few_shot_fraction), size - count)
    texts = own + few_shot_prompts(data, pivot, prompts)
    texts += joined_sentences(data.global_pairs, size - len(texts))
    # By turns, so that every rank gets of all kinds.
    return data.part(data.encode(texts[data.rank :: data.ranks], config.max_length))


def few_shot_prompts(data: "StepData", pivot: str, size: int) -> list[str]:
    """`size` prompts of several pairs of one language each, by turns from the pivot and into it; in a chat
    each pair is a turn."""
    rng, prompts = data.rng(1), []
    for index in range(size):
        share = data.shares[index % len(data.shares)]
        chosen = [share[i] for i in rng.choice(len(share), min(PAIRS, len(share)), replace=False)]
        both = [(pair.source, pair.target) for pair in chosen]
        source, target = pivot, chosen[0].target_language
        if index % 2:
            both, source, target = [(y, x) for x, y in both], target, source
        form, chat = drawn_form(rng), data.chat
        if chat is None:
            prompts.append(few_shot_prompt(both, source, target, form))
        else:
            prompts.append(chat.conversation(few_shot_turns(both, source, target, form)))
    return prompts


def joined_sentences(pairs: "list[Pair]", size: int) -> list[str]:
    """`size` texts of several sentences each, by turns in the target language and in the pivot."""
    texts = []
    for index in range(size):
        side = "source" if index % 2 else "target"
        chosen = [pairs[(index * SENTENCES + k) % len(pairs)] for k in range(SENTENCES)]
        texts.append(" ".join(getattr(p, side) for p in chosen))
    return texts
