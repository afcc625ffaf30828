"""The adversarial probe: a new probe no longer finds the language, and sentences stay apart."""

from cipher import OnCipher, probe_accuracy

LANGUAGES = ("en", "fr", "de")
ADVERSARIAL = (
    *("loss=adversarial", "loss.retention_weight=0", "loss.tau=0.1", "loss.objectives.contrastive.layer=4"),
    *("loss.objectives.adversarial.layer=2", "loss.objectives.adversarial.weight=1"),
)
OFF = "loss.objectives.adversarial.confusion=0"


def test_a_new_probe_finds_the_language_no_more_and_retrieval_stays() -> None:
    hidden = OnCipher(ADVERSARIAL, LANGUAGES[1:])
    assert probe_accuracy(hidden, LANGUAGES) > 0.9
    hidden.train(300)
    seen = OnCipher((*ADVERSARIAL, OFF), LANGUAGES[1:]).train(300)
    assert probe_accuracy(hidden, LANGUAGES) < 0.55
    assert probe_accuracy(seen, LANGUAGES) > 0.65
    assert hidden.retrieval(layer=4) > 0.9
