"""Parts whose items are nats of given text after a prompt: nothing is written, one pass says all."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from xalign.evaluation.engine.scoring import Request, Score, require_room, score
from xalign.evaluation.task import Measured, Part, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xalign.base.progress import Advance
    from xalign.evaluation.engine.session import Session
    from xalign.models.backbone import Backbone


def scored(session: "Session", requests: Sequence[Request], advance: "Advance") -> list[Score]:
    """`score` with a session's model, batches and journal."""
    return score(
        session.backbone,
        requests,
        batch_tokens=session.batch_tokens,
        journal=session.journal,
        advance=advance,
    )


def likelihood_part(
    task: Task,
    metric: str,
    language: str,
    key: Mapping[str, object],
    requests: Callable[["PreTrainedTokenizerBase"], Sequence[Request]],
    texts: Sequence[str],
    shown: Sequence[str],
) -> Part:
    """A part of a task that gives the negative log-likelihood of each request, in nats, and their mean.

    `requests` makes them for a model's tokenizer; `texts` are what the items are made of, `shown` the
    demonstrations before each.
    """

    def measure(session: "Session", advance: "Advance") -> Measured:
        scores = scored(session, requests(session.backbone.tokenizer), advance)
        nats = [-own.log_likelihood for own in scores]
        return task.measured(session, metric, language, nats, len(shown))

    def check(backbone: "Backbone") -> None:
        require_room(backbone, requests(backbone.tokenizer))

    return Part(task.name, language, key, len(texts), measure, texts, shown, check)
