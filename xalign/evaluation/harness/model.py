"""A model of lm-evaluation-harness whose log-likelihoods come from xalign's engine; imports `lm_eval`."""

import logging
from collections.abc import Sequence

import torch
from lm_eval.models.huggingface import HFLM

from xalign.base.errors import DataError
from xalign.base.progress import progress_bar
from xalign.evaluation.engine.journal import NO_JOURNAL, Journal
from xalign.evaluation.engine.prefix_tree import Row
from xalign.evaluation.engine.scoring import score_rows
from xalign.models.backbone import Backbone

log = logging.getLogger(__name__)

TOKENS_OF_A_TEXT = 512
"""A text that is generated from counts as so many tokens of a batch."""

Pair = tuple[tuple[str, str] | None, list[int], list[int]]
"""Texts, or None for a window of a long one; token ids of the context; of the continuation."""


class HarnessModel(HFLM):
    """The harness's own model of transformers, apart from the passes that give log-likelihoods.

    Tokens, windows, what is cut from the left where a request is too long, generation and chat templates
    stay the harness's.
    """

    def __init__(self, backbone: Backbone, batch_tokens: int, journal: Journal = NO_JOURNAL) -> None:
        low = backbone.compute_dtype is not torch.float32
        super().__init__(
            pretrained=backbone.model,
            tokenizer=backbone.tokenizer,
            batch_size=max(1, batch_tokens // TOKENS_OF_A_TEXT),
            mixed_precision_dtype=backbone.compute_dtype if low else None,
        )
        self._backbone = backbone
        self._batch_tokens = batch_tokens
        self._journal = journal

    def _loglikelihood_tokens(
        self, requests: Sequence[Pair], disable_tqdm: bool = False, override_bs: int | None = None
    ) -> list[tuple[float, bool]]:
        """(log-likelihood, greedy) of each continuation. Batches go by tokens: `override_bs` is not used.

        Raises:
            DataError: a continuation has no token, or more than the model's context has room for.
        """
        rows, cut = [], 0
        for texts, context, continuation in requests:
            if not 0 < len(continuation) <= self.max_length:
                raise DataError(
                    f"a continuation has {len(continuation)} tokens, allowed are 1 to {self.max_length}"
                    + (f": '{texts[1][:60]}'" if texts else "")
                )
            # The last token is only predicted: it takes no place in the context.
            ids = [*context, *continuation][-self.max_length - 1 :]
            cut += len(ids) < len(context) + len(continuation)
            rows.append(Row(ids, len(ids) - len(continuation)))
        if cut:
            log.warning(
                "%d of %d requests lose their beginning: longer than the model's context of %d tokens",
                *(cut, len(rows), self.max_length),
            )
        with progress_bar("lm-evaluation-harness", len(rows)) as advance:
            return score_rows(
                self._backbone,
                rows,
                batch_tokens=self._batch_tokens,
                journal=self._journal,
                advance=advance,
            )
