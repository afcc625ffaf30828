import math

import numpy as np
import pytest
import torch
from tiny import tiny_backbone

from xalign.base.errors import ModelError
from xalign.config.schema import BenchmarkConfig
from xalign.data.parallel import ParallelCorpus
from xalign.data.rows import Row
from xalign.evaluation.engine.bits import ratio_of_sums, text_bits
from xalign.evaluation.evaluate import session_of
from xalign.evaluation.task import Setting
from xalign.evaluation.tasks import tasks_of

TEXTS = ["Save", "Öffnen Sie die Datei", "เปิด", "x"]


@pytest.mark.parametrize("family", ["llama", "gpt2", "bloom", "xglm"])
@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_bits_by_hand(family: str, batch_tokens: int) -> None:
    backbone = tiny_backbone(family)
    for text, bits in zip(TEXTS, text_bits(backbone, TEXTS, batch_tokens=batch_tokens), strict=True):
        ids = backbone.tokenizer(text)["input_ids"]
        assert ids[0] == backbone.tokenizer.bos_token_id
        assert len(ids) == 1 + len(text.encode())
        with torch.no_grad():
            logits = backbone.model(input_ids=torch.tensor([ids])).logits[0].double()
        by_hand = -sum(float(logits[t - 1].log_softmax(-1)[ids[t]]) for t in range(1, len(ids))) / math.log(2)
        assert bits == pytest.approx(by_hand, rel=1e-5)


def test_first_token_where_the_tokenizer_puts_none() -> None:
    backbone = tiny_backbone("llama")
    wanted = text_bits(backbone, TEXTS, batch_tokens=64)
    bos = backbone.tokenizer.bos_token_id
    plain = backbone.tokenizer

    class Bare:
        """A tokenizer as GPT-2's: nothing in front, `bos_token_id` known."""

        bos_token_id: int | None = bos
        eos_token_id: int | None = None
        pad_token_id = plain.pad_token_id
        all_special_ids = plain.all_special_ids

        def __call__(self, texts: str | list[str], **options: object) -> dict[str, object]:
            return dict(plain(texts, add_special_tokens=False))

    backbone.tokenizer = Bare()
    np.testing.assert_allclose(text_bits(backbone, TEXTS, batch_tokens=64), wanted)
    backbone.tokenizer.bos_token_id = None
    with pytest.raises(ModelError, match="beginning- or end-of-sequence"):
        text_bits(backbone, TEXTS, batch_tokens=64)


def test_a_text_beyond_the_context_loses_no_token() -> None:
    backbone = tiny_backbone("gpt2")
    long = "abcdefghij" * 30
    parts = text_bits(backbone, [long[:127], long[127:254], long[254:]], batch_tokens=256)
    np.testing.assert_allclose(text_bits(backbone, [long], batch_tokens=256), [parts.sum()])


def test_rows_and_records() -> None:
    texts = [{"en": "Save", "th": "เปิด"}, {"en": "Undo it"}]
    corpus = ParallelCorpus.from_rows([Row("made", t) for t in texts], "made")
    config = BenchmarkConfig(name="held", tasks=["bits_per_byte"], batch_tokens=64)
    setting = Setting(config, corpus, None, "en", ["th"], aligned_layer=0, seed=0)
    session = session_of(tiny_backbone("llama"), config)
    parts = tasks_of(config)["bits_per_byte"].parts(setting)
    measured = [part.measure(session, lambda count: None) for part in parts]
    rows = [row for m in measured for row in m.results]
    records = [record for m in measured for record in m.items["held.bits_per_byte"]]
    assert [(r.language, r.metric, r.n) for r in rows] == [
        ("en", "bits_per_byte", 2),
        ("th", "bits_per_byte", 1),
    ]
    assert rows[0].value == pytest.approx((records[0]["bits"] + records[1]["bits"]) / 11)
    assert [r["bytes"] for r in records] == [4, 7, 12]
    assert rows[1].stderr is None


def test_standard_error_of_a_ratio_agrees_with_the_bootstrap() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(5, 80, 300)
    bits = 2.0 * sizes + rng.normal(0, 8, 300)
    value, stderr = ratio_of_sums(bits, sizes)
    draws = rng.integers(0, 300, (4000, 300))
    assert value == pytest.approx(bits.sum() / sizes.sum())
    assert stderr == pytest.approx(np.std(bits[draws].sum(1) / sizes[draws].sum(1)), rel=0.06)
