import logging
import math

import pytest
import torch
from tiny import FAMILIES, tiny_backbone

from xalign.errors import DataError
from xalign.evaluation import scoring
from xalign.evaluation.scoring import Request, score
from xalign.models.backbone import Backbone

SHOTS = "a house = ein Haus\nit is late = es ist spät\n"
REQUESTS = [
    Request(SHOTS, "a dog =", " ein Hund"),
    Request("", "Der Hund schläft, weil", " er müde ist"),
    Request(SHOTS, "the old tree =", " der Baum"),
    Request("x = y\n", "q =", " z"),
    Request(SHOTS, "a dog =", " 狗"),
    Request("x = y\n", "qq = ", "z z z"),
    # Candidates of a single item have their whole context, and more, in common.
    Request("one item\n", "q =", " yes"),
    Request("one item\n", "q =", " yet"),
]


def by_hand(backbone: Backbone, request: Request) -> float:
    """One unpadded request through the whole model; position t predicts token t + 1."""
    ids = backbone.tokenizer(request.prefix + request.context + request.continuation)["input_ids"]
    start = len(backbone.tokenizer((request.prefix + request.context).rstrip())["input_ids"])
    with torch.no_grad():
        logits = backbone.model(input_ids=torch.tensor([ids])).logits[0].double()
    return sum(float(logits[t - 1].log_softmax(-1)[ids[t]]) for t in range(start, len(ids)))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("reuse", [False, True])
def test_equals_the_plain_full_pass(family: str, reuse: bool, caplog: pytest.LogCaptureFixture) -> None:
    backbone = tiny_backbone(family)
    wanted = [by_hand(backbone, r) for r in REQUESTS]
    caplog.set_level(logging.INFO)
    for batch_tokens in (1, 4096):
        scores = score(backbone, REQUESTS, batch_tokens=batch_tokens, reuse=reuse)
        assert [s.log_likelihood for s in scores] == pytest.approx(wanted, abs=1e-3)
    assert ("demonstrations are run once" in caplog.text) == reuse
    assert "run anew for every item" not in caplog.text


def test_tokens_and_bytes() -> None:
    scores = score(tiny_backbone("llama"), REQUESTS, batch_tokens=256)
    # The byte tokenizer: a token a byte; white space that ends the context counts to the continuation.
    assert [s.bytes for s in scores] == [len(r.continuation.encode()) for r in REQUESTS]
    assert [s.tokens for s in scores] == [9, 13, 9, 2, 4, 6, 4, 4]


def test_demonstrations_run_once_a_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("llama")
    runs: list[int] = []
    build = scoring._cache

    def counted(backbone: Backbone, ids: list[int]) -> object:
        runs.append(len(ids))
        return build(backbone, ids)

    monkeypatch.setattr(scoring, "_cache", counted)
    score(backbone, REQUESTS, batch_tokens=64)
    shots = len(SHOTS.encode()) + 1
    # One at the start for the check; "a dog" and "the old" part right after the demonstrations,
    # "q =" and "qq" after one more letter; the token before a continuation is always run.
    assert runs == [shots, shots, len("x = y\nq") + 1, len("one item\nq =")]


@pytest.mark.parametrize("fault", ["wrong", "raises"])
def test_falls_back_where_reuse_is_not_exact(
    fault: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = tiny_backbone("llama")
    build = scoring._cache

    def broken(backbone: Backbone, ids: list[int]) -> object:
        if fault == "raises":
            raise NotImplementedError("no cache")
        return build(backbone, [*ids[:-1], ids[-1] ^ 1])

    monkeypatch.setattr(scoring, "_cache", broken)
    got = [s.log_likelihood for s in score(backbone, REQUESTS, batch_tokens=64)]
    assert got == pytest.approx([by_hand(backbone, r) for r in REQUESTS], abs=1e-3)
    assert "run anew for every item" in caplog.text


def test_few_logits_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("gemma2")
    whole = score(backbone, REQUESTS, batch_tokens=256)
    monkeypatch.setattr(scoring, "LOGITS_AT_ONCE", 260 * 2)
    parts = score(backbone, REQUESTS, batch_tokens=256)
    assert [s.log_likelihood for s in parts] == pytest.approx([s.log_likelihood for s in whole], abs=1e-4)


def test_bf16_is_near_and_the_check_stays_exact(caplog: pytest.LogCaptureFixture) -> None:
    backbone = tiny_backbone("llama")
    exact = score(backbone, REQUESTS, batch_tokens=256)
    backbone.compute_dtype = torch.bfloat16
    caplog.set_level(logging.INFO)
    rough = score(backbone, REQUESTS, batch_tokens=256)
    assert "demonstrations are run once" in caplog.text
    for a, b in zip(exact, rough, strict=True):
        assert math.isclose(a.log_likelihood, b.log_likelihood, rel_tol=0.05)
        assert a.log_likelihood != b.log_likelihood


def test_too_long_and_empty_requests_are_named() -> None:
    backbone = tiny_backbone("gpt2")
    with pytest.raises(DataError, match="129 tokens exceed the model's context of 128"):
        score(backbone, [Request("", "x" * 127, "y")], batch_tokens=64)
    with pytest.raises(DataError, match="token of their own"):
        score(backbone, [Request("", "x", "")], batch_tokens=64)
