"""Greedy continuation: the plain loop is the reference, for every family, batch and way of reuse."""

import logging
from collections.abc import Sequence

import pytest
import torch
from tiny import FAMILIES, other, tiny_backbone
from transformers import GenerationConfig

from xalign.base.errors import DataError
from xalign.evaluation.engine import generation as module
from xalign.evaluation.engine.generation import continue_greedily
from xalign.models.backbone import Backbone
from xalign.models.padding import pads_left_exactly

PREFIX = "the cat = le chat\nthe dog = le chien\n"
SOURCES = ["a house", "a tree by the river", "rain", "x"]
PROMPTS = [f"{PREFIX}{source} =" for source in SOURCES]
LIMITS = [9, 12, 3, 6]


def plain(backbone: Backbone, prompt: str, limit: int) -> str:
    """One forward pass a token over the whole text, no cache."""
    tokenizer = backbone.tokenizer
    ids: list[int] = tokenizer(prompt)["input_ids"]
    made: list[int] = []
    with torch.no_grad():
        while len(made) < limit and "\n" not in tokenizer.decode(made):
            logits = backbone.model(torch.tensor([ids + made])).logits[0, -1]
            made.append(int(logits.argmax()))
            if made[-1] == tokenizer.eos_token_id:
                break
    return str(tokenizer.decode(made, skip_special_tokens=True)).split("\n")[0].strip()


def continued(backbone: Backbone, prompts: Sequence[str] = PROMPTS, **options: int) -> list[str]:
    return continue_greedily(backbone, prompts, LIMITS[: len(prompts)], **{"batch_tokens": 2048, **options})


@pytest.mark.parametrize("family", FAMILIES)
def test_batches_and_reuse_give_what_a_plain_loop_gives(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    caches: list[int] = []
    original = module._prefix_cache
    monkeypatch.setattr(
        module, "_prefix_cache", lambda backbone, ids: caches.append(len(ids)) or original(backbone, ids)
    )
    backbone = tiny_backbone(family)
    expected = [plain(backbone, p, limit) for p, limit in zip(PROMPTS, LIMITS, strict=True)]
    assert len(set(expected)) > 1
    assert continued(backbone) == expected
    windowed = family in ("gemma2", "gemma3", "gemma3_text")
    assert caches[1:] == ([] if windowed else [len(backbone.tokenizer(PREFIX)["input_ids"])])
    assert continued(backbone, reuse=False) == expected
    assert continued(backbone, batch_tokens=1) == expected


def favour(backbone: Backbone, token: int, after: int) -> None:
    """Make the model answer `token` from the answer's place `after` on, and 'a' before."""
    head = backbone.model.forward
    length = len(backbone.tokenizer(PROMPTS[0])["input_ids"])

    def forward(*args: object, **options: object):  # type: ignore[no-untyped-def]
        out = head(*args, **options)
        seen = options["attention_mask"].sum(1) - length  # type: ignore[attr-defined]
        out.logits[:, -1] = 0
        wanted = torch.where(
            seen >= after, token, backbone.tokenizer("a", add_special_tokens=False)["input_ids"][0]
        )
        out.logits[torch.arange(len(seen)), -1, wanted] = 9
        return out

    backbone.model.forward = forward  # type: ignore[method-assign]
    module._KEPT[backbone] = module._Kept(True, prefix=True, padding=True)


@pytest.mark.parametrize("end", ["line break", "end of text", "limit"])
def test_stops(end: str) -> None:
    backbone = tiny_backbone("llama")
    tokenizer = backbone.tokenizer
    break_, other = (tokenizer(c, add_special_tokens=False)["input_ids"][0] for c in "\nb")
    token = {"line break": break_, "end of text": tokenizer.eos_token_id, "limit": other}[end]
    favour(backbone, token, after=4)
    assert continued(backbone, PROMPTS[:1]) == ["aaaabbbbb" if end == "limit" else "aaaa"]


def test_the_models_own_generation_settings_do_not_count_and_stay() -> None:
    backbone = tiny_backbone("llama")
    expected = continued(backbone)
    own = GenerationConfig(do_sample=True, temperature=5.0, repetition_penalty=3.0, max_length=5)
    backbone.model.generation_config = own
    assert continued(backbone) == expected
    assert backbone.model.generation_config is own


def test_a_prompt_without_room_is_named_and_a_limit_keeps_within_the_context() -> None:
    backbone = tiny_backbone("llama", max_position_embeddings=52)
    with pytest.raises(DataError, match=r"leave no room in the model's context of 52.*a tree by the river ="):
        continued(backbone)
    prompt = PROMPTS[2][-20:]
    room = 52 - len(backbone.tokenizer(prompt)["input_ids"])
    assert continue_greedily(backbone, [prompt], [99], batch_tokens=999) == [plain(backbone, prompt, room)]


def test_a_tokenizer_without_line_breaks_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = tiny_backbone("llama")
    decode = backbone.tokenizer.decode
    monkeypatch.setattr(backbone.tokenizer, "decode", lambda *a, **o: str(decode(*a, **o)).replace("\n", " "))
    with caplog.at_level(logging.WARNING):
        continued(backbone, PROMPTS[:1])
    assert "cannot write a line break" in caplog.text


def test_progress_counts_every_prompt() -> None:
    counted: list[int] = []
    continue_greedily(tiny_backbone("llama"), PROMPTS, LIMITS, batch_tokens=30, advance=counted.append)
    assert sum(counted) == len(PROMPTS)
    assert len(counted) > 1


def test_prompts_that_cannot_be_padded_are_continued_length_by_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """BART counts positions from the beginning of a row, whatever the mask says."""
    backbone = other(
        "bart", d_model=32, decoder_layers=2, decoder_attention_heads=4, decoder_ffn_dim=48, init_std=0.2
    )
    assert not pads_left_exactly(backbone)
    prompts = [PROMPTS[0], PROMPTS[1], PROMPTS[0]]
    widths: list[int] = []
    original = module._generate

    def generate(backbone: Backbone, rows: list[list[int]], *others: object) -> object:
        widths.extend({len(row) for row in rows})
        return original(backbone, rows, *others)  # type: ignore[arg-type]

    continued(backbone)  # what is tried out once
    monkeypatch.setattr(module, "_generate", generate)
    expected = [plain(backbone, p, limit) for p, limit in zip(prompts, LIMITS, strict=False)]
    assert continued(backbone, prompts) == expected
    assert len(widths) == len({len(backbone.tokenizer(p)["input_ids"]) for p in prompts})


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_a_model_whose_generation_is_wrong_is_run_anew_for_each_token(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = tiny_backbone(family)
    expected = [plain(backbone, p, limit) for p, limit in zip(PROMPTS, LIMITS, strict=True)]
    generate = type(backbone.model).generate

    def shifted(self: object, *args: object, **options: object) -> torch.Tensor:
        return (generate(self, *args, **options) + 1) % 250  # type: ignore[arg-type,operator,return-value]

    monkeypatch.setattr(type(backbone.model), "generate", shifted)
    assert continued(backbone) == expected
    assert module._KEPT[backbone] == module._Kept(False, prefix=False, padding=False)


def test_a_prefix_that_cannot_be_repeated_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("llama")
    expected = [plain(backbone, p, limit) for p, limit in zip(PROMPTS, LIMITS, strict=True)]

    def refuse(self: object, repeats: int) -> None:
        raise RuntimeError("Sizes of tensors must match")

    monkeypatch.setattr("transformers.DynamicCache.batch_repeat_interleave", refuse)
    assert continued(backbone) == expected
    assert module._KEPT[backbone] == module._Kept(True, prefix=False, padding=True)


def test_a_state_that_is_carried_along_is_not_reused() -> None:
    kinds = ["linear_attention", "full_attention"]
    backbone = other(
        "qwen3_5_text",
        layer_types=kinds,
        head_dim=8,
        linear_key_head_dim=8,
        linear_value_head_dim=8,
        linear_num_key_heads=2,
        linear_num_value_heads=4,
    )
    expected = [plain(backbone, p, limit) for p, limit in zip(PROMPTS, LIMITS, strict=True)]
    assert continued(backbone) == expected
