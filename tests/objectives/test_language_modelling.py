"""Language modelling: text of a language never seen costs fewer bits, and the shares are as configured."""

import pytest
from cipher import OnCipher, in_cipher
from training_helpers import batches_of, small_config, small_module

from xalign.data.collate import tokenize
from xalign.models.backbone import evaluating

MODELLING = ("loss=language_modelling",)


def nats(model: OnCipher, language: str) -> float:
    """Of a token of held-out sentences."""
    tokens = tokenize(model.backbone.tokenizer, [in_cipher(text, language) for text in model.held_out], 64)
    with evaluating(model.backbone):
        logits = model.backbone.model(
            tokens.input_ids, attention_mask=tokens.attention_mask
        ).logits.log_softmax(-1)
    found = logits[:, :-1].gather(2, tokens.input_ids[:, 1:, None])[..., 0]
    inside = tokens.content_mask[:, 1:].bool() & tokens.content_mask[:, :-1].bool()
    return -float(found[inside].mean())


def test_a_language_is_learnt_and_another_is_not() -> None:
    model = OnCipher((*MODELLING, "loss.objectives.language_modelling.pivot_share=0"))
    before = nats(model, "fr"), nats(model, "en")
    model.train(60)
    assert nats(model, "fr") < 0.7 * before[0]
    assert nats(model, "en") > 0.9 * before[1]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_pivot_has_its_share(share: float) -> None:
    options = (
        *MODELLING,
        f"loss.objectives.language_modelling.pivot_share={share}",
        "languages.targets=[fr]",
    )
    config = small_config(
        *options, "trainer.languages_per_batch=1", "loss.objectives.language_modelling.batch_size=20"
    )
    module = small_module(config)
    pivot = 0
    for step in range(10):
        for tokens in batches_of(config, module)[step].parts["language_modelling"].texts.buckets:
            texts = module.backbone.tokenizer.batch_decode(tokens.input_ids, skip_special_tokens=True)
            pivot += sum(" en" in text for text in texts)
    assert pivot == pytest.approx(200 * share, abs=4 * (200 * share * (1 - share)) ** 0.5)
