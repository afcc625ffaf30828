"""Runs trees of token prefixes through a model, in the most economical way that is exact for it.

Shapes: B trees, T positions of a tree, C positions of the common prefix, K = C + T, D hidden size,
V vocabulary, P positions that predict, Q pairs of such a position and a next token.
"""

import copy
import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from enum import StrEnum
from itertools import pairwise
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import Cache, DynamicLayer

from xalign.base.hardware import is_out_of_memory
from xalign.data.collate import pad
from xalign.evaluation.engine.prefix_tree import Group, Row, Tree, common_length, grow, plan
from xalign.models.backbone import Backbone, computing_in
from xalign.models.masks import Masks, additive_masks

log = logging.getLogger(__name__)

LOGITS_AT_ONCE = 2**25
"""Logits held at a time: 128 positions of a vocabulary of 262,144, 0.13 GB in float32."""

LARGEST_TREE = 512
"""Positions of a tree: attention over all of them must stay cheap beside the matrix products."""


class Way(StrEnum):
    """How much is shared, from most to nothing."""

    tree = "each distinct token prefix is run once"
    prefix = "demonstrations are run once, each request in a row of its own"
    whole = "every request is run as a whole"


CHECKED: WeakKeyDictionary[nn.Module, dict[tuple[Way, bool], bool]] = WeakKeyDictionary()
"""What `choose_way` found out about models: (way, whether a prefix is kept) -> exact."""


def tree_reach(backbone: Backbone, context: int | None) -> int | None:
    """Positions up to which trees are exact: the context, or a window that no mask can be made for.

    A self-check on a few rows would not notice a window. Models with `layer_types` take one mask a
    type; others apply their window to places in the row, which are not those of a tree.
    """
    config = backbone.model.config.get_text_config()
    types = getattr(config, "layer_types", None)
    if types and set(types) - {"full_attention", "sliding_attention"}:
        return 0
    windows = [
        getattr(config, "window_size", None),
        None if types else getattr(config, "sliding_window", None),
    ]
    limits = [limit for limit in (context, *windows) if isinstance(limit, int)]
    return min(limits, default=None)


def choose_way(
    backbone: Backbone, rows: Sequence[Row], most: Way, reach: int | None
) -> tuple[Way, list[Group]]:
    """The first way, from `most` on, that gives the same sums as whole requests on a few of the rows.

    Checked once a model and way, and once more where a prefix is kept for the first time.
    """
    known = CHECKED.setdefault(backbone.model, {})
    for way in list(Way)[list(Way).index(most) :]:
        largest = LARGEST_TREE if way is Way.tree else 0
        groups = plan(rows, largest=largest, reach=reach, share=way is not Way.whole)
        kept = any(group.prefix for group in groups)
        if way is Way.whole or not rows:
            break
        if way is Way.prefix and not kept:
            continue
        if (way, kept) not in known:
            with computing_in(backbone, torch.float32):
                known[way, kept] = _is_exact(backbone, rows, groups, way)
        if known[way, kept]:
            break
    return way, groups


def _is_exact(backbone: Backbone, rows: Sequence[Row], groups: Sequence[Group], way: Way) -> bool:
    """Whether the two rows that share most give the same sums as each alone, in a batch with padding."""
    group = max(groups, key=lambda g: (len(g.prefix), max(len(tree.members) for tree in g.trees)))
    inside = [sorted((rows[i] for i in tree.members), key=lambda row: list(row.ids)) for tree in group.trees]
    pairs = [pair for own in inside for pair in pairwise(own)]
    # Rows that no tree joins must not be joined here: together they may exceed what trees are exact for.
    parts = [[0, 1], [2]] if pairs else [[0], [1], [2]]
    pair = max(pairs or [(inside[0][0], inside[-1][0])], key=lambda p: common_length(p[0].ids, p[1].ids))
    trial = [*pair, min(pair, key=lambda row: len(row.ids))]
    # Half precision rounds differently in batches of another shape; a wrong cache or mask is off by nats.
    tolerance = 1e-3 if backbone.model.dtype == torch.float32 else 0.5

    def sums(way: Way, prefix: Sequence[int], parts: Sequence[Sequence[int]]) -> dict[int, float]:
        trees = [grow(trial, part, len(prefix)) for part in parts]
        found = Engine(backbone, trial, way, 2**30).score_group(Group(prefix, trees))
        return {i: value for batch in found for i, (value, _) in batch.items()}

    wanted = sums(Way.whole, [], [[0], [1]])
    wanted[2] = wanted[trial.index(trial[2])]
    try:
        own = sums(way, group.prefix, parts)
        worst = float(torch.tensor([abs(own[i] - wanted[i]) for i in own]).max())  # NaN where any is
    except Exception as error:  # a model's code can refuse in any way it likes
        if is_out_of_memory(error):
            raise
        log.warning("not used, as the model refuses (%s): %s", _first_line(error), way)
        return False
    if not worst <= tolerance:
        log.warning("not used, as sums differ by %.2g from whole requests: %s", worst, way)
        return False
    log.info("%s (largest difference from whole requests: %.1g)", way, worst)
    return True


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


class _KeptLayer(DynamicLayer):
    """Keys and values of a common prefix, kept once whatever the batch: what follows is not added to them."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            return super().update(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        size = (len(key_states), -1, -1, -1)
        return (
            torch.cat([self.keys.expand(size), key_states], dim=-2),
            torch.cat([self.values.expand(size), value_states], dim=-2),
        )


class Engine:
    """Runs groups in one way, in batches that become smaller where memory does not suffice."""

    def __init__(self, backbone: Backbone, rows: Sequence[Row], way: Way, batch_tokens: int) -> None:
        self.backbone = backbone
        self.rows = rows
        self.way = way
        self.budget = batch_tokens

    def score_group(
        self, group: Group, done: Collection[int] = ()
    ) -> Iterator[dict[int, tuple[float, bool]]]:
        """(log-likelihood, greedy) of the rows of one batch after the other, by row number.

        Trees of which every row is `done` are left out.
        """
        cut = len(group.prefix)
        waiting = [tree for tree in group.trees if any(number not in done for number in tree.members)]
        waiting.sort(key=lambda tree: len(tree.tokens), reverse=True)
        cache = self._keep(group.prefix) if cut and waiting else None
        while waiting:
            # Demonstrations count towards a batch although they are not run: their keys take its memory.
            widest = cut + len(waiting[0].tokens)
            count = min(len(waiting), max(1, self.budget // widest))
            try:
                found = self._score(waiting[:count], cache)
            except RuntimeError as error:
                if not is_out_of_memory(error) or (count == 1 and len(waiting[0].members) == 1):
                    raise
                log.warning("out of memory with %d positions: going on with half", count * widest)
                self.budget = count * widest // 2
                if count == 1:
                    numbers = list(waiting[0].members)
                    middle = len(numbers) // 2
                    halves = (numbers[:middle], numbers[middle:])
                    waiting[:1] = [grow(self.rows, half, cut) for half in halves]
                continue
            yield found
            del waiting[:count]

    def _score(self, trees: Sequence[Tree], cache: Cache | None) -> dict[int, tuple[float, bool]]:
        places: dict[tuple[int, int], int] = {}
        pairs = [
            (places.setdefault((b, node), len(places)), token)
            for b, tree in enumerate(trees)
            for node, token in tree.targets
        ]
        hidden_BTD = self._hidden(trees, cache)
        rows_P, nodes_P = torch.tensor(list(places), device=self.backbone.device).T
        places_Q, tokens_Q = torch.tensor(pairs, device=self.backbone.device).T
        values, greedy = _predictions(self.backbone, hidden_BTD[rows_P, nodes_P], places_Q, tokens_Q)
        found, first = {}, 0
        for tree in trees:
            for number, own in tree.members.items():
                found[number] = (sum(values[first + q] for q in own), all(greedy[first + q] for q in own))
            first += len(tree.targets)
        return found

    def _keep(self, prefix: Sequence[int]) -> Cache:
        """The keys and values of a common prefix."""
        length = len(prefix)
        if self.way is Way.tree:
            cache = Cache(layer_class_to_replicate=_KeptLayer)
            self._hidden([Tree(0, list(prefix), list(range(length)), [length] * length)], cache)
            return cache
        tokens = pad(self.backbone.tokenizer, [prefix]).to(self.backbone.device)
        return self._decode(tokens.input_ids, tokens.attention_mask, use_cache=True).past_key_values

    def _hidden(self, trees: Sequence[Tree], cache: Cache | None) -> Tensor:
        """Final hidden states (B, T, D)."""
        cut = 0 if cache is None else cache.get_seq_length()
        if self.way is not Way.tree:
            tokens = pad(self.backbone.tokenizer, [tree.tokens for tree in trees]).to(self.backbone.device)
            if cache is None:
                return self.backbone.hidden_states(tokens, self.backbone.depth)
            past = copy.deepcopy(cache)
            past.batch_repeat_interleave(len(trees))
            mask_BT = torch.cat([tokens.attention_mask.new_ones(len(trees), cut), tokens.attention_mask], 1)
            return self._decode(
                tokens.input_ids, mask_BT, past_key_values=past, use_cache=True
            ).last_hidden_state
        ids_BT, depths_BT, ends_BT = (
            pad_sequence([torch.tensor(part) for part in parts], batch_first=True).to(self.backbone.device)
            for parts in zip(*((tree.tokens, tree.depths, tree.ends) for tree in trees), strict=True)
        )
        return self._decode(
            ids_BT,
            self._masks(depths_BT, ends_BT, cut),
            position_ids=depths_BT,
            past_key_values=cache,
            use_cache=cache is not None,
        ).last_hidden_state

    def _masks(self, depths_BT: Tensor, ends_BT: Tensor, cut: int) -> Masks:
        """Additive masks (B, 1, T, C + T): a position sees the common prefix, its ancestors and itself."""
        place_T = torch.arange(depths_BT.shape[1], device=depths_BT.device)
        ends_BT = ends_BT.maximum(place_T + 1)  # padding sees itself: no row is without anything to see
        above_BTT = (place_T <= place_T[:, None]) & (place_T[:, None] < ends_BT[:, None, :])
        kept_BTC = above_BTT.new_ones(*depths_BT.shape, cut)
        seen_BTK = torch.cat([kept_BTC, above_BTT], 2)
        depths_BC = torch.arange(cut, device=depths_BT.device).expand(len(depths_BT), cut)
        depths_BK = torch.cat([depths_BC, depths_BT], 1)
        distance_BTK = depths_BT[:, :, None] - depths_BK[:, None, :]
        model = self.backbone.model
        return additive_masks(model.config, seen_BTK, distance_BTK, model.dtype)

    def _decode(self, ids_BT: Tensor, mask: Masks, **options: object):  # type: ignore[no-untyped-def]
        with self.backbone.arithmetic():
            return self.backbone.decoder(input_ids=ids_BT, attention_mask=mask, **options)


def _predictions(
    backbone: Backbone, hidden_PD: Tensor, places_Q: Tensor, tokens_Q: Tensor
) -> tuple[list[float], list[bool]]:
    """Log-probabilities of tokens at places in P, and whether each is the likeliest token there."""
    values_Q = torch.empty(len(places_Q), device=places_Q.device)
    greedy_Q = torch.empty(len(places_Q), dtype=torch.bool, device=places_Q.device)

    def read(first: int, values_PV: Tensor) -> None:
        inside_Q = (places_Q >= first) & (places_Q < first + len(values_PV))
        places, tokens = places_Q[inside_Q] - first, tokens_Q[inside_Q]
        values = values_PV[places, tokens]
        greedy = values == values_PV.amax(-1)[places]  # a fifth of argmax's time
        # Only below a probability of a half can it be one of several maxima, of which argmax takes the first.
        for q in (greedy & (values < -0.69)).nonzero()[:, 0].tolist():
            greedy[q] = values_PV[places[q]].argmax() == tokens[q]
        values_Q[inside_Q], greedy_Q[inside_Q] = values, greedy

    read_log_probabilities(backbone, hidden_PD, read)
    return values_Q.tolist(), greedy_Q.tolist()


def read_log_probabilities(
    backbone: Backbone, hidden_PD: Tensor, read: Callable[[int, Tensor], None]
) -> None:
    """Give `read` the place of the first of a few positions and their log-probabilities (V) in float32.

    A function and not an iterator, so that nobody holds the last ones while the next are made. The kernel is
    the harness's: over 262,144 tokens, float32 on a CPU is 3.5e-5 nats too high in each, and a sum of
    logarithms of another kind would differ by that.
    """
    size = max(1, LOGITS_AT_ONCE // int(backbone.model.get_output_embeddings().weight.shape[0]))
    for first in range(0, len(hidden_PD), size):
        read(first, _log_softmax(backbone.head(hidden_PD[first : first + size]).float()))


def _log_softmax(logits_PV: Tensor) -> Tensor:
    return torch.log_softmax(logits_PV, -1, out=logits_PV)  # in place: as large as all the model
