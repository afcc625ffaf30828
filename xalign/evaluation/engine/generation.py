"""Greedy continuations of many prompts, with the keys and values of what they all begin with computed once.

Shapes: B prompts, T tokens.
"""

import copy
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import Cache, GenerationConfig, PreTrainedModel, StoppingCriteria, StoppingCriteriaList

from xalign.base.errors import DataError
from xalign.base.progress import Advance
from xalign.data.collate import Tokens
from xalign.evaluation.engine.journal import NO_JOURNAL, Journal
from xalign.evaluation.engine.prefix_tree import common_length
from xalign.evaluation.engine.representations import batches
from xalign.evaluation.engine.scoring import prompt_tokens
from xalign.models.backbone import Backbone, computing_in, evaluating
from xalign.models.padding import pads_left_exactly

log = logging.getLogger(__name__)

SHARE_OF_BUDGET = 4
"""A token of a batch that is generated costs a fraction of the memory of one that is represented at all
layers, and small batches cost time: every step reads the whole model."""


def continue_greedily(
    backbone: Backbone,
    prompts: Sequence[str],
    limits: Sequence[int],
    *,
    batch_tokens: int,
    reuse: bool = True,
    journal: Journal = NO_JOURNAL,
    advance: Advance = lambda count: None,
) -> list[str]:
    """The most likely token after each prompt, and so on, up to a line break or the end of the text.

    At most `limits[i]` tokens follow prompt i; `advance` counts prompts. What is in the `journal` is not
    written again. White space around an answer is taken off. Prompts are padded on the left, where that is
    exact for the model; what all of them begin with is run once (`reuse`), except for models with an
    attention window that a batch would outgrow: padding would take its room. A model whose own generation
    writes other tokens than its logits say is run anew for each token.

    Raises:
        DataError: a prompt leaves no room in the model's context.
    """
    rows = _encode(backbone, prompts)
    limits = _within_context(backbone, rows, prompts, limits)
    kept = _kept(backbone)
    of_one_length = len({len(row) for row in rows}) < 2
    pads = of_one_length or (kept.padding and pads_left_exactly(backbone))
    cut = _shared_tokens(rows) if reuse and kept.prefix and pads and len(rows) > 1 else 0
    _warn_without_line_breaks(backbone)
    entries = journal.entries(reuse, batch_tokens, rows, limits)
    answers: dict[int, str] = dict(entries.found)
    advance(len(answers))
    cache: Cache | None = None
    with evaluating(backbone), _plain_greedy(backbone.model):
        lengths = [len(row) + limit for row, limit in zip(rows, limits, strict=True)]
        for batch in _batches(rows, lengths, batch_tokens * SHARE_OF_BUDGET, pads):
            if batch[0] in answers:
                continue
            own = [rows[i] for i in batch]
            room = max(limits[i] for i in batch)
            reused = cut if max(map(len, own)) + room <= _window(backbone) else 0
            if reused and cache is None:
                cache = _prefix_cache(backbone, own[0][:cut])
                if cache is None:
                    cut = reused = 0
            most = [limits[i] for i in batch]
            if kept.tokens:
                made = _generate(backbone, [row[reused:] for row in own], most, reused, cache)
            else:
                made = _run_anew(backbone, own, most)
            texts = [str(backbone.tokenizer.decode(ids, skip_special_tokens=True)) for ids in made]
            found = {i: text.split("\n")[0].strip() for i, text in zip(batch, texts, strict=True)}
            answers |= found
            entries.add(found)
            advance(len(batch))
    return [answers[i] for i in range(len(rows))]


def _batches(rows: Sequence[list[int]], lengths: Sequence[int], budget: int, pads: bool) -> list[list[int]]:
    """Numbers of prompts that are continued together; of one length each where none may be padded."""
    if pads:
        return batches(lengths, budget)
    found = []
    for size in sorted({len(row) for row in rows}, reverse=True):
        own = [i for i, row in enumerate(rows) if len(row) == size]
        found += [[own[k] for k in batch] for batch in batches([lengths[i] for i in own], budget)]
    return found


def _encode(backbone: Backbone, prompts: Sequence[str]) -> list[list[int]]:
    ids = prompt_tokens(backbone, prompts)
    rows = [ids[prompt] for prompt in prompts]
    # Some tokenizers (BERT-style post-processors) end a text with a special token of their own.
    end = backbone.tokenizer.eos_token_id
    return [row[:-1] if len(row) > 1 and row[-1] == end else row for row in rows]


def require_room(backbone: Backbone, prompts: Sequence[str]) -> None:
    """Raise DataError where a prompt leaves no room in the model's context."""
    if backbone.context is not None:
        _within_context(backbone, _encode(backbone, prompts), prompts, [0] * len(prompts))


def _within_context(
    backbone: Backbone, rows: Sequence[Sequence[int]], prompts: Sequence[str], limits: Sequence[int]
) -> list[int]:
    """The limits, lowered to what the model's context leaves."""
    context = backbone.context
    if context is None:
        return list(limits)
    for row, prompt in zip(rows, prompts, strict=True):
        if len(row) >= context:
            raise DataError(
                f"{len(row)} tokens leave no room in the model's context of {context} "
                f"(fewer benchmark.shots are shorter): '{prompt.splitlines()[-1][:60]}...'"
            )
    return [min(limit, context - len(row)) for row, limit in zip(rows, limits, strict=True)]


def _shared_tokens(rows: Sequence[list[int]]) -> int:
    """Length of the longest common prefix that leaves a token of every row."""
    # Of sorted sequences the first and the last differ earliest.
    return min(common_length(min(rows), max(rows)), min(map(len, rows)) - 1)


def _window(backbone: Backbone) -> float:
    """Tokens that the narrowest layer attends to."""
    config = backbone.model.config.get_text_config()
    names = ("sliding_window", "window_size", "attention_chunk_size")
    windows = [getattr(config, name, None) for name in names]
    return min((w for w in windows if w), default=float("inf"))


def _warn_without_line_breaks(backbone: Backbone) -> None:
    tokenizer = backbone.tokenizer
    if "\n" not in tokenizer.decode(tokenizer("a\nb", add_special_tokens=False)["input_ids"]):
        log.warning("the tokenizer cannot write a line break: answers end with the text or at their limit")


@contextmanager
def _plain_greedy(model: PreTrainedModel) -> Iterator[None]:
    """The model's own generation settings (sampling, penalties) put aside."""
    former = model.generation_config
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=former.eos_token_id)
    try:
        yield
    finally:
        model.generation_config = former


def _prefix_cache(backbone: Backbone, ids: Sequence[int]) -> Cache | None:
    """What the model keeps of a prefix; None where it cannot be repeated for several texts, as a state
    carried along cannot."""
    ids_1T = torch.tensor([ids], device=backbone.device)
    with backbone.arithmetic():
        done = backbone.decoder(input_ids=ids_1T, attention_mask=torch.ones_like(ids_1T), use_cache=True)
    cache = getattr(done, "past_key_values", None)
    layers = getattr(cache, "layers", ())
    repeated = layers and all(hasattr(layer, "batch_repeat_interleave") for layer in layers)
    return cache if repeated else None


def _generate(
    backbone: Backbone, rows: Sequence[list[int]], limits: Sequence[int], cut: int, cache: Cache | None
) -> list[list[int]]:
    """Ids that follow each row, whose first `cut` tokens are in the cache and not in the row."""
    model, tokenizer = backbone.model, backbone.tokenizer
    width = max(map(len, rows))
    ends = _ends(backbone)
    filler = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else ends[0] if ends else 0
    ids_BT = torch.tensor([[filler] * (width - len(row)) + row for row in rows], device=backbone.device)
    mask_BT = torch.tensor([[1] * cut + [0] * (width - len(r)) + [1] * len(r) for r in rows])
    past = None
    if cut:
        past = copy.deepcopy(cache)
        assert past is not None
        past.batch_repeat_interleave(len(rows))
    stop = _Stop(backbone, width, torch.tensor(limits, device=backbone.device))
    with backbone.arithmetic():
        whole_BT = model.generate(  # type: ignore[operator]
            input_ids=ids_BT,
            attention_mask=mask_BT.to(backbone.device),
            past_key_values=past,
            max_new_tokens=max(limits),
            eos_token_id=ends or None,
            pad_token_id=filler,
            stopping_criteria=StoppingCriteriaList([stop]),
        )
    return _written(whole_BT[:, width:], limits, stop, ends)


def _run_anew(backbone: Backbone, rows: Sequence[list[int]], limits: Sequence[int]) -> list[list[int]]:
    """Ids that follow each row, all of one length, with nothing kept from token to token."""
    ids_BT = torch.tensor(rows, device=backbone.device)
    width, ends = ids_BT.shape[1], _ends(backbone)
    ends_E = torch.tensor(ends, device=ids_BT.device, dtype=ids_BT.dtype)
    stop = _Stop(backbone, width, torch.tensor(limits, device=ids_BT.device))
    done_B = torch.zeros(len(rows), dtype=torch.bool, device=ids_BT.device)
    while not done_B.all():
        ones_BT = torch.ones_like(ids_BT)
        last_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
        last_BT[:, -1] = True
        next_B = backbone.logits_at(Tokens(ids_BT, ones_BT, ones_BT), last_BT).argmax(-1)
        ids_BT = torch.cat([ids_BT, next_B[:, None]], 1)
        done_B |= stop(ids_BT, None) | torch.isin(next_B, ends_E)
    return _written(ids_BT[:, width:], limits, stop, ends)


def _written(ids_BT: Tensor, limits: Sequence[int], stop: "_Stop", ends: Sequence[int]) -> list[list[int]]:
    """Of ids that may go on after a row's end those of its text: to an end mark, or through a line break."""
    found = []
    for row, limit in zip(ids_BT.tolist(), limits, strict=True):
        own = row[:limit]
        own = own[: next((k for k, i in enumerate(own) if i in ends), limit)]
        found.append(own[: next((k + 1 for k, i in enumerate(own) if stop.breaks_line(i)), limit)])
    return found


@dataclass(frozen=True)
class _Kept:
    """Whether a model writes what its logits say though something is kept or added: of a text its tokens so
    far; what several texts begin with; padding before texts of other lengths."""

    tokens: bool
    prefix: bool
    padding: bool


_KEPT: "WeakKeyDictionary[Backbone, _Kept]" = WeakKeyDictionary()


def _kept(backbone: Backbone) -> _Kept:
    """Tried out once for each model: some types' generation or cache is wrong in transformers."""
    if backbone not in _KEPT:
        shared, count = 4, 4
        rows = backbone.probe_ids(2, 2 * shared).tolist()
        rows[1][:shared] = rows[0][:shared]
        with evaluating(backbone), computing_in(backbone, torch.float32), _plain_greedy(backbone.model):
            tokens = _writes_its_logits(backbone, rows, count)
            _KEPT[backbone] = _Kept(
                tokens,
                prefix=tokens and _writes_its_logits(backbone, rows, count, shared),
                padding=tokens and _writes_its_logits(backbone, [rows[0], rows[1][3:]], count),
            )
        if not tokens:
            log.info("the model's generation writes other tokens than its logits say: run anew for each")
    return _KEPT[backbone]


def _writes_its_logits(backbone: Backbone, rows: list[list[int]], count: int, cut: int = 0) -> bool:
    """Whether rows are continued together, their first `cut` tokens run once, as each by itself."""
    wanted = [_run_anew(backbone, [row], [count])[0] for row in rows]
    try:
        cache = _prefix_cache(backbone, rows[0][:cut]) if cut else None
        if cut and cache is None:
            return False
        return _generate(backbone, [row[cut:] for row in rows], [count] * len(rows), cut, cache) == wanted
    except Exception as error:  # a model's own code may raise whatever it likes
        log.debug("%s: %s", type(backbone.model).__name__, error)
        return False


def _ends(backbone: Backbone) -> list[int]:
    """Tokens that end a text."""
    configured = backbone.model.generation_config.eos_token_id
    own = configured if isinstance(configured, list) else [configured]
    return list(dict.fromkeys(i for i in [backbone.tokenizer.eos_token_id, *own] if i is not None))


class _Stop(StoppingCriteria):
    """A row is done with a line break, or at its limit."""

    def __init__(self, backbone: Backbone, start: int, limits_B: Tensor) -> None:
        self.tokenizer, self.start, self.limits_B = backbone.tokenizer, start, limits_B
        self.breaks: dict[int, bool] = {}

    def __call__(self, input_ids: Tensor, scores: object, **options: object) -> Tensor:
        done_B = self.limits_B <= input_ids.shape[1] - self.start
        broken = [self.breaks_line(int(token)) for token in input_ids[:, -1]]
        return done_B | torch.tensor(broken, device=done_B.device)

    def breaks_line(self, token: int) -> bool:
        if token not in self.breaks:
            # In UTF-8 no other character holds the byte of a line break: a token can be looked at alone.
            self.breaks[token] = "\n" in self.tokenizer.decode([token])
        return self.breaks[token]
