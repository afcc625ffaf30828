"""experiments/harmless: what is chosen by and what is reported share no sentence."""

import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "experiments" / "harmless"


@pytest.fixture
def _in_its_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("texts", "table"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.usefixtures("_in_its_folder")
def test_the_halves_share_no_sentence(tmp_path: Path) -> None:
    from texts import CODES, MEASURED, halves

    for code in CODES:
        own = [f"{code} sentence {i}" for i in range(500)]
        english = [f"English {code} {i}" for i in range(500)]
        english[400] = english[3]  # a sentence of the first half again, with another translation
        english[300] = "English fra 7"  # one that another language has in its first half
        (tmp_path / f"tatoeba.{code}-eng.{code}").write_text("\n".join(own))
        (tmp_path / f"tatoeba.{code}-eng.eng").write_text("\n".join(english))
    found = halves(tmp_path)
    sides = {}
    for name, text in found.items():
        assert text.test is not None
        assert text.demonstrations is not None
        assert all(len(text.test.rows_with("en", language)) == MEASURED for language in CODES.values())
        parts = (text.test, text.demonstrations)
        sides[name] = {t for part in parts for c in ("en", *CODES.values()) for t in part.texts(c) if t}
        assert not {*text.test.texts("de")} & {*text.demonstrations.texts("de")} - {None}
    assert not sides["report"] & sides["choose"]
    assert found["report"].test is not None
    assert found["report"].test.pairs("en", "fr")[0] == ("English fra 0", "fra sentence 0")


@pytest.mark.usefixtures("_in_its_folder")
def test_directions_are_named_where_they_got_worse() -> None:
    import numpy as np
    from table import mean_gain, significant

    rng = np.random.default_rng(0)
    gains = {
        (way, code): rng.normal(shift, 1.0, 60)
        for way, code, shift in (("into", "fr", -2), ("from", "fr", 0), ("into", "zh", 2))
    }
    assert significant(gains, -1) == "fr>"
    assert significant(gains, 1) == "zh>"
    assert mean_gain([np.full(10, 0.5), np.full(10, -0.3)]) == "+0.10 [+0.10, +0.10]"
