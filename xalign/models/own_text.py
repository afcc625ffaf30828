"""Text that a language model writes by itself: what it knows, without any data.

Sampled from the beginning-of-sequence token at temperature 1, text is distributed as the model believes its
pretraining text to be: mostly English. The first words of a sentence make it go on in that language. A chat
model is given them as the beginning of a user's turn: it goes on with the turn, and answers.
Retention on such text holds the model where it learnt, not only on the sentences that alignment trains on
(experiments/recipe: less forgetting and more alignment at the same weight; experiments/harmless: languages).
"""

import copy
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from xalign.base.cache import cached_by_key
from xalign.base.files import digest
from xalign.base.progress import Advance, progress_bar
from xalign.data.chat import Chat, Conversation
from xalign.models.backbone import Backbone
from xalign.models.fingerprint import model_fingerprint

VERSION = "2"
"""Raised whenever other texts are written, or kept otherwise; part of the cache's key."""

COUNT = 32
"""Texts written from nothing. A run draws from them again and again, but looks at other positions each
time."""

GIVEN = 4
"""Tokens of a beginning that is given."""

BATCH = 96
"""Texts written side by side."""

SUMMED = 512
"""Words whose probabilities are summed together when one is drawn."""

SPACE = 10_000_000
"""Bytes that must be free on the cache's disk."""


def own_texts(
    backbone: Backbone, length: int, seed: int, begun: Sequence[str] = (), chat: Chat | None = None
) -> list[str]:
    """Texts of at most `length` tokens, written once for each model and kept in the cache: `COUNT` from
    nothing, and one from the first tokens of each text of `begun` that has enough, as a conversation where
    there is a `chat`.

    Raises:
        ArtifactError: the cache cannot be written.
    """
    key: dict[str, object] = {
        "version": VERSION,
        "model": model_fingerprint(backbone.model, backbone.tokenizer),
        "count": COUNT,
        "length": length,
        "seed": seed,
        "begun": digest(list(begun)),
        "dtype": str(backbone.compute_dtype),
    }
    opening = None if chat is None else str(chat.opening)
    if opening is not None:
        key["opening"] = opening

    def build(folder: Path) -> None:
        texts = _write(backbone, length, seed, begun, opening)
        (folder / "texts.json").write_text(json.dumps(texts, ensure_ascii=False, indent=0), encoding="utf-8")

    folder = cached_by_key("own_texts", key, build, "text by the model itself", SPACE)
    free, prompted = json.loads((folder / "texts.json").read_text(encoding="utf-8"))
    return [*free, *(prompted if chat is None else map(Conversation, prompted))]


def _write(
    backbone: Backbone, length: int, seed: int, begun: Sequence[str], opening: str | None
) -> tuple[list[str], list[str]]:
    """Texts from nothing, and those from what was begun, after what opens a conversation, if given."""
    tokenizer = backbone.tokenizer
    # In a copy that has the arithmetic of training: to round a large head anew for every token would
    # take longer than all the rest.
    model = copy.deepcopy(backbone.model).eval()
    nn.Module.to(model, dtype=backbone.compute_dtype)
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    generator = torch.Generator(backbone.device).manual_seed(seed)
    before = [first] if opening is None else tokenizer(opening, add_special_tokens=False)["input_ids"]
    # Of a conversation what opens it stays, and the end of a turn is not the end.
    size = length + 1 if opening is None else length
    given = [tokenizer(text, add_special_tokens=False)["input_ids"][:GIVEN] for text in begun]
    begins = [[*before, *ids] for ids in given if len(ids) == GIVEN < size - len(before)]
    with (
        torch.no_grad(),
        progress_bar("the model's own text", length * (COUNT + len(begins))) as advance,
    ):
        free = _continued(model, [[first]] * COUNT, length + 1, generator, advance)
        prompted = _continued(model, begins, size, generator, advance)
    free_texts = [_text(tokenizer, row[1:]) for row in free]
    if opening is None:
        prompted_texts = [_text(tokenizer, row[1:]) for row in prompted]
    else:
        prompted_texts = [_conversation(tokenizer, row) for row in prompted]
    return [text for text in free_texts if text.strip()], [text for text in prompted_texts if text.strip()]


def _continued(
    model: PreTrainedModel,
    starts: Sequence[Sequence[int]],
    size: int,
    generator: torch.Generator,
    advance: Advance,
) -> list[list[int]]:
    """Beginnings, equally long, each with what the model goes on with, `size` tokens in all."""
    rows: list[list[int]] = []
    for batch in (starts[k : k + BATCH] for k in range(0, len(starts), BATCH)):
        ids_BT = torch.tensor(batch, device=model.device)
        written: list[Tensor] = [ids_BT]
        past = None
        for _ in range(size - ids_BT.shape[1]):
            output = model(input_ids=ids_BT, past_key_values=past, use_cache=True, logits_to_keep=1)
            past = output.past_key_values
            ids_BT = _draw(output.logits[:, -1], generator)
            written.append(ids_BT)
            advance(len(ids_BT))
        rows += torch.cat(written, 1).tolist()
    return rows


def _draw(logits_BV: Tensor, generator: torch.Generator) -> Tensor:
    """A token (B, 1) of each distribution, by inversion; torch.multinomial takes forty times as long over
    262,144 words."""
    at_B1 = torch.rand(len(logits_BV), 1, generator=generator, device=logits_BV.device)
    # On a CPU as many rows as its cache holds.
    rows = max(1, 2**18 // logits_BV.shape[1]) if logits_BV.device.type == "cpu" else len(logits_BV)
    parts = zip(logits_BV.split(rows), at_B1.split(rows), strict=True)
    return torch.cat([_word_at(logits_RV, at_R1) for logits_RV, at_R1 in parts])


def _word_at(logits_RV: Tensor, at_R1: Tensor) -> Tensor:
    """The first word (R, 1) up to which lies more than this share of the probability: first the block of
    words, then the word, so that no sum runs over the whole vocabulary."""
    size = logits_RV.shape[1]
    powers_RV = (logits_RV.float() - logits_RV.amax(1, keepdim=True)).exp_()
    blocks_RKN = nn.functional.pad(powers_RV, (0, -size % SUMMED)).view(len(powers_RV), -1, SUMMED)
    sums_RK = blocks_RKN.sum(2)
    upto_RK = sums_RK.cumsum(1)
    at_R1 = at_R1 * upto_RK[:, -1:]
    block_R1 = torch.searchsorted(upto_RK, at_R1).clamp(max=upto_RK.shape[1] - 1)
    rest_R1 = at_R1 - (upto_RK.gather(1, block_R1) - sums_RK.gather(1, block_R1))
    inside_RN = blocks_RKN[torch.arange(len(block_R1), device=block_R1.device), block_R1[:, 0]].cumsum(1)
    # Sums in another order differ by their rounding: no further than the block's last word that is likely.
    word_R1 = torch.searchsorted(inside_RN, torch.minimum(rest_R1, inside_RN[:, -1:]))
    return block_R1 * SUMMED + word_R1


def _text(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """What stands before the end-of-sequence token."""
    end = ids.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in ids else len(ids)
    return str(tokenizer.decode(ids[:end], skip_special_tokens=True))


def _conversation(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> str:
    """All of it, the special tokens included."""
    return str(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
