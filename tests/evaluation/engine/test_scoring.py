import logging
import math

import pytest
import torch
from tiny import FAMILIES, tiny_backbone
from torch import Tensor

from xalign.base.errors import DataError, ModelError
from xalign.evaluation.engine import prefix_tree, scoring, tree_engine
from xalign.evaluation.engine.scoring import Request, request_tokens, score
from xalign.evaluation.engine.tree_engine import Way
from xalign.models.backbone import Backbone

SHOTS = "a house = ein Haus\nit is late = es ist spät\n"
SOURCES = ("a dog", "the old tree", "some")
REQUESTS = [
    # Items with demonstrations: contexts and beginnings of continuations in common.
    *(
        Request(SHOTS, f"{source} =", f" {target}")
        for source in SOURCES
        for target in ("ein Hund", "der Baum", "der Bau", "狗")
    ),
    # All of the text is scored (XNLI).
    *(Request("", "", f"premise, right? {word}, so") for word in ("Yes", "No", "Now")),
    # The contexts differ and the continuation is the same (XWinograd).
    *(Request("", f"the cat did not fit as the {x} ", "was big") for x in ("cat", "car")),
    Request("", "Der Hund schläft, weil", " er müde ist"),
    Request("x = y\n", "qq = ", "z z z"),
]


def by_hand(backbone: Backbone, request: Request) -> tuple[float, bool]:
    """One unpadded request through the whole model in lm-evaluation-harness's tokens; float64 log-softmax."""
    head = request.prefix + request.context
    ids = backbone.tokenizer(head + request.continuation)["input_ids"]
    assert ids[0] == backbone.tokenizer.bos_token_id  # also what an empty context becomes
    start = len(backbone.tokenizer(head.rstrip())["input_ids"]) if head else 1
    with torch.no_grad():
        logits_TV = backbone.model(input_ids=torch.tensor([ids[:-1]])).logits[0].double()
    value = sum(float(logits_TV[t - 1].log_softmax(-1)[ids[t]]) for t in range(start, len(ids)))
    return value, all(int(logits_TV[t - 1].argmax()) == ids[t] for t in range(start, len(ids)))


def agrees(backbone: Backbone, requests: list[Request]) -> None:
    scores = score(backbone, requests, batch_tokens=256)
    wanted = [by_hand(backbone, r) for r in requests]
    assert [s.log_likelihood for s in scores] == pytest.approx([value for value, _ in wanted], abs=1e-4)
    assert [s.greedy for s in scores] == [greedy for _, greedy in wanted]


@pytest.fixture
def eager_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefixes are kept and trees are many although the texts are short."""
    monkeypatch.setattr(prefix_tree, "LEAST_SAVED", 8)
    monkeypatch.setattr(prefix_tree, "PACKED", 1)
    monkeypatch.setattr(tree_engine, "LARGEST_TREE", 60)


@pytest.mark.usefixtures("eager_to_share")
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_plain_full_pass(family: str, caplog: pytest.LogCaptureFixture) -> None:
    backbone = tiny_backbone(family)
    caplog.set_level(logging.INFO)
    wanted = [by_hand(backbone, request)[0] for request in REQUESTS]
    for way in Way:
        for side, batch_tokens in (("left", 4096), ("right", 1)):
            backbone.tokenizer.padding_side = side
            scores = score(backbone, REQUESTS, batch_tokens=batch_tokens, way=way)
            assert [s.log_likelihood for s in scores] == pytest.approx(wanted, abs=1e-4)
    # BLOOM takes no masks of one's own.
    assert caplog.text.count(
        f"model refuses (ValueError: too many values to unpack (expected 2)): {Way.tree}"
    ) == (family == "bloom")
    assert caplog.text.count(f"{Way.tree} (largest difference") == (family != "bloom")
    assert caplog.text.count(f"{Way.prefix} (largest difference") == 1
    assert "not used, as sums differ" not in caplog.text


@pytest.mark.usefixtures("eager_to_share")
@pytest.mark.parametrize(
    ("family", "changes", "exact"),
    [
        ("gemma2", {"sliding_window": 16}, True),
        ("gemma3_text", {"sliding_window": 16}, True),
        (
            "gemma3_text",
            {"sliding_window": 5, "layer_types": ["sliding_attention", "full_attention"] * 2},
            True,
        ),
        ("qwen2", {"sliding_window": 16, "use_sliding_window": True, "max_window_layers": 2}, True),
        ("mistral", {"sliding_window": 40}, False),
        ("gpt_neo", {"window_size": 40}, False),
    ],
)
def test_beyond_the_attention_window(
    family: str, changes: dict[str, object], exact: bool, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = tiny_backbone(family, **changes)
    caplog.set_level(logging.INFO)
    agrees(backbone, REQUESTS)
    assert max(request_tokens(backbone, REQUESTS)) > 60
    # A rule, not the self-check, sends long requests the other way: its few rows could be short.
    assert (f"12 requests are too long for trees of this model: {Way.prefix}" in caplog.text) != exact
    assert f"{Way.tree} (largest difference" in caplog.text


def runs(backbone: Backbone, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """(rows, positions) of each pass through the decoder from now on."""
    decoder = backbone.model.get_decoder()
    passes: list[tuple[int, ...]] = []
    plain = decoder.forward

    def counted(*args: object, input_ids: Tensor, **options: object) -> object:
        passes.append(tuple(input_ids.shape))
        return plain(*args, input_ids=input_ids, **options)

    monkeypatch.setattr(decoder, "forward", counted)
    return passes


@pytest.mark.usefixtures("eager_to_share")
def test_what_is_shared_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("llama")
    score(backbone, REQUESTS[:12], batch_tokens=1)  # the self-check
    passes, heads = runs(backbone, monkeypatch), []
    plain = backbone.head

    def counted(hidden_PD: Tensor) -> Tensor:
        heads.append(len(hidden_PD))
        return plain(hidden_PD)

    monkeypatch.setattr(backbone, "head", counted)
    score(backbone, REQUESTS[:12], batch_tokens=4096)
    shots = len(SHOTS.encode()) + 1
    # Per item: context, " ", "ein Hun", "der Bau", two of 狗's three bytes: the last token is never run.
    items = [len(f"{source} = ein Hunder Bau") + 2 for source in SOURCES]
    assert passes == [(1, shots), (3, max(items))]
    # Predictions begin at the last position of a context.
    assert heads == [sum(item - len(s) - 1 for item, s in zip(items, SOURCES, strict=True))]
    # Where all of it fits into a tree it is one.
    monkeypatch.setattr(tree_engine, "LARGEST_TREE", 512)
    score(backbone, REQUESTS[:12], batch_tokens=4096)
    assert passes[-1] == (1, shots + sum(items))


@pytest.mark.usefixtures("eager_to_share")
def test_the_check_is_done_once_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("llama")
    passes = runs(backbone, monkeypatch)
    score(backbone, REQUESTS[:12], batch_tokens=4096)
    first = len(passes)
    score(backbone, REQUESTS[:12], batch_tokens=4096)
    assert len(passes) - first == 2
    # Two rows whole in one batch, the prefix, trees in one batch; then as the second time.
    assert first == 3 + 2


@pytest.mark.usefixtures("eager_to_share")
@pytest.mark.parametrize("fault", ["wrong", "nan", "raises"])
@pytest.mark.parametrize("broken", [{Way.tree}, {Way.tree, Way.prefix}])
def test_falls_back_where_sharing_is_not_exact(
    fault: str, broken: set[Way], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = tiny_backbone("llama")
    hidden = tree_engine.Engine._hidden

    def faulty(engine: tree_engine.Engine, trees: object, cache: object) -> Tensor:
        states_BTD = hidden(engine, trees, cache)
        if engine.way in broken:
            if fault == "raises":
                raise NotImplementedError("no such mask\nand more")
            states_BTD[:, -1] = math.nan if fault == "nan" else states_BTD[:, -1] + 0.1
        return states_BTD

    monkeypatch.setattr(tree_engine.Engine, "_hidden", faulty)
    caplog.set_level(logging.INFO)
    agrees(backbone, REQUESTS)
    for way in broken:
        why = (
            "the model refuses (NotImplementedError: no such mask)" if fault == "raises" else "sums differ by"
        )
        assert any(f"not used, as {why}" in m and m.endswith(way) for m in caplog.messages)
    used = [way for way in Way if any(m.startswith(f"{way} (largest") for m in caplog.messages)]
    assert used == ([] if Way.prefix in broken else [Way.prefix])


@pytest.mark.usefixtures("eager_to_share")
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate ..."),
    ],
)
@pytest.mark.parametrize("room", [400, 40])
def test_batches_are_halved_where_memory_does_not_suffice(
    error: Exception, room: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backbone = tiny_backbone("llama")
    passes = runs(backbone, monkeypatch)
    counted = backbone.model.get_decoder().forward

    def small(*args: object, input_ids: Tensor, **options: object) -> object:
        if (
            options.get("past_key_values") is not None
            and input_ids.shape[1] < len(SHOTS)
            and input_ids.numel() > room
        ):
            raise error
        return counted(*args, input_ids=input_ids, **options)

    requests = [Request(SHOTS, f"{n} {n} {n} =", f" {word}") for n in range(40) for word in ("ja", "nein")]
    score(backbone, requests[:8], batch_tokens=1)
    monkeypatch.setattr(backbone.model.get_decoder(), "forward", small)
    passes.clear()
    done: list[int] = []
    scores = score(backbone, requests, batch_tokens=4096, advance=done.append)
    assert sum(done) == len(requests)
    monkeypatch.undo()
    assert [s.log_likelihood for s in scores] == pytest.approx(
        [by_hand(backbone, r)[0] for r in requests], abs=1e-4
    )
    warnings = [m for m in caplog.messages if m.startswith("out of memory")]
    # The smaller batch is remembered: it is not tried again and again.
    assert 1 <= len(warnings) <= 8
    assert all(rows * width <= room for rows, width in passes[1:])


def test_what_does_not_fit_alone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("llama")
    score(backbone, REQUESTS[:1], batch_tokens=64)
    for error in (torch.OutOfMemoryError("out"), RuntimeError("shapes")):

        def broken(*args: object, error: Exception = error, **options: object) -> object:
            raise error

        monkeypatch.setattr(backbone.model.get_decoder(), "forward", broken)
        with pytest.raises(type(error), match=str(error)):
            score(backbone, REQUESTS[:1], batch_tokens=64)


def test_tokens_bytes_and_characters() -> None:
    scores = score(tiny_backbone("llama"), REQUESTS, batch_tokens=256)
    assert [s.bytes for s in scores] == [len(r.continuation.encode()) for r in REQUESTS]
    assert [s.characters for s in scores] == [len(r.continuation) for r in REQUESTS]
    # The byte tokenizer: a token a byte; white space that ends the context counts to the continuation.
    spaces = [len(r.context) - len(r.context.rstrip()) for r in REQUESTS]
    assert [s.tokens for s in scores] == [s.bytes + more for s, more in zip(scores, spaces, strict=True)]


def test_greedy_is_told() -> None:
    backbone = tiny_backbone("llama")
    text = "ab"
    ids = backbone.tokenizer(text)["input_ids"]
    with torch.no_grad():
        ordered = backbone.model(torch.tensor([ids])).logits[0, -1].argsort(descending=True)
    likely, other = (prefix_tree.Row([*ids, int(token)], len(ids)) for token in ordered[:2])
    (first, yes), (second, no) = scoring.score_rows(backbone, [likely, other], batch_tokens=64)
    assert (yes, no) == (True, False)
    assert first > second


def test_an_empty_context_becomes_the_first_token() -> None:
    backbone = tiny_backbone("llama")
    bos = backbone.tokenizer.bos_token_id
    # Not twice where the text begins with it; TemplateLM.loglikelihood.
    plain, marked = score(backbone, [Request("", "", t) for t in ("abc", "<bos>abc")], batch_tokens=64)
    assert plain.log_likelihood == pytest.approx(marked.log_likelihood, abs=1e-5)
    assert (plain.tokens, marked.tokens) == (3, 3)
    rows = scoring._encode(backbone, [Request("", "<bos>ab", "c"), Request("", "ab", "c")])
    assert [(row.ids[0], row.ids.count(bos), row.start) for row in rows] == [(bos, 1, 3)] * 2
    backbone.tokenizer.bos_token = None
    (row,) = scoring._encode(backbone, [Request("", "", "c")])
    assert row.ids[0] == backbone.tokenizer.eos_token_id
    backbone.tokenizer.eos_token = None
    with pytest.raises(ModelError, match="beginning- or end-of-sequence"):
        score(backbone, [Request("", "", "c")], batch_tokens=64)


def test_few_logits_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = tiny_backbone("gemma2", final_logit_softcapping=2.0)
    monkeypatch.setattr(tree_engine, "LOGITS_AT_ONCE", 260 * 2)
    agrees(backbone, REQUESTS)


def test_bf16_is_near_and_the_check_stays_exact(caplog: pytest.LogCaptureFixture) -> None:
    backbone = tiny_backbone("llama")
    exact = score(backbone, REQUESTS, batch_tokens=256)
    backbone = tiny_backbone("llama")
    backbone.compute_dtype = torch.bfloat16
    caplog.set_level(logging.INFO)
    rough = score(backbone, REQUESTS, batch_tokens=256)
    assert f"{Way.tree} (largest difference" in caplog.text
    for a, b in zip(exact, rough, strict=True):
        assert math.isclose(a.log_likelihood, b.log_likelihood, rel_tol=0.05)
        assert a.log_likelihood != b.log_likelihood


def test_too_long_and_empty_requests_are_named() -> None:
    backbone = tiny_backbone("gpt2")
    # The last token is only predicted, as in the harness: 129 tokens fit into a context of 128.
    fits, long = Request("", "x" * 127, "y"), Request("", "x" * 128, "y")
    assert request_tokens(backbone, [fits, long]) == [128, 129]
    agrees(backbone, [fits])
    with pytest.raises(DataError, match="129 tokens exceed the model's context of 128"):
        score(backbone, [long], batch_tokens=64)
    with pytest.raises(DataError, match="token of their own"):
        score(backbone, [Request("", "x", "")], batch_tokens=64)
    assert score(backbone, [], batch_tokens=64) == []


def test_of_equally_likely_tokens_the_first_is_greedy() -> None:
    backbone = tiny_backbone("llama")
    with torch.no_grad():
        backbone.head = lambda hidden_SD: torch.tensor([[0.0, 3.0, 3.0, 1.0]]).repeat(len(hidden_SD), 1)
        places, tokens = torch.tensor([0, 0, 0, 1, 1]), torch.tensor([1, 2, 3, 2, 1])
        values, greedy = tree_engine._predictions(backbone, torch.zeros(2, 32), places, tokens)
        assert greedy == [True, False, False, False, True]
        assert values[0] == values[1] == pytest.approx(-math.log(2 + math.exp(-3) + math.exp(-2)))
