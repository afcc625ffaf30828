"""The report of analyses: a picture and a sentence each, by whatever the files hold."""

from pathlib import Path

import numpy as np
import pytest
from begun_run import write_config
from matplotlib.image import imread

from xalign.evaluation.analyses.base import Findings
from xalign.evaluation.analyses.curves import Curve, draw_curves
from xalign.evaluation.findings import Analysed, AnalysedModel
from xalign.reporting.analyses import gaps_in, lines_of, shown_of
from xalign.reporting.html import write_report

LAYERS = [0, 1, 2]
CODES = ["de", "fr"]


def cka(gain: float) -> Findings:
    values = [[0.2, 0.4 + gain, None], [0.1, 0.3 + gain, 0.2]]
    return {"pivot": "en", "layers": LAYERS, "languages": CODES, "sentences": [9, 8], "values": values}


def probe(fall: float) -> Findings:
    values = [[1.0, 1 - fall, 1.0]] * 3
    of_all = {"pivot": "en", "layers": LAYERS, "languages": ["en", *CODES], "values": values}
    return {**of_all, "stderr": [0.0, 0.02, 0.0], "chance": 1 / 3}


def model(name: str, version: str = "1", **findings: Findings) -> AnalysedModel:
    analyses = {key: Analysed(version=version, options={}, findings=own) for key, own in findings.items()}
    return AnalysedModel(model=name, text="heldout", analyses=analyses)


BOTH = {
    "before": model("base", cka=cka(0), language_probe=probe(0)),
    "after": model("out/model", cka=cka(0.25), language_probe=probe(0.3)),
}


def test_the_page_shows_each_and_the_pictures_are_not_blank(tmp_path: Path) -> None:
    write_config(tmp_path)
    for moment, found in BOTH.items():
        found.write(tmp_path / "evaluation" / f"{moment}.analyses.json")
    (tmp_path / "plots").mkdir()
    stale = tmp_path / "plots" / "analysis_gone.png"
    stale.write_bytes(b"of an older state")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "before: mean over 2 languages highest at layer 1 (0.35), lowest at layer 0 (0.15)" in page
    assert "after: mean over 2 languages highest at layer 1 (0.60), lowest at layer 0 (0.15)" in page
    assert "after: accuracy over 3 languages highest at layer 2 (1.00), lowest at layer 1 (0.70)" in page
    assert page.count("data:image/png;base64,") == 2
    for name in ("cka", "language_probe"):
        pixels = imread(tmp_path / "plots" / f"analysis_{name}.png")[..., :3]
        assert 0.01 < np.mean(pixels.min(axis=-1) < 0.9) < 0.6, name
    assert not stale.exists()


def test_what_cannot_be_shown_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    write_config(tmp_path)
    before = model("base", gone={"x": 1}, cka=cka(0))
    before.write(tmp_path / "evaluation" / "before.analyses.json")
    page = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Analysis &#39;gone&#39;: not installed here, so that its findings are not shown." in page
    assert "before: mean over 2 languages" in page
    models = {"before": before, "after": model("out", version="0", cka=cka(0.1))}
    (shown,) = shown_of(models)
    assert list(shown.findings) == ["before"]
    older = "Analysis 'cka', after: found by its version 0, which version 1 cannot show."
    assert list(gaps_in(models))[1] == older
    assert lines_of(models)[0].startswith("CKA with the pivot, before: mean over 2 languages")
    assert lines_of(models)[-1] == older


@pytest.mark.parametrize(("count", "panels"), [(1, 2), (2, 2), (3, 1)])
def test_curves_of_models(count: int, panels: int) -> None:
    curves = {f"model {i}": Curve.of(cka(0.1 * i)) for i in range(count)}
    figure = draw_curves(curves, "CKA")
    left, *right = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    assert len([left, *right]) == panels
    assert [list(line.get_ydata()) for line in left.lines] == [list(own.means) for own in curves.values()]
    assert left.lines[-1].get_ydata()[2] == 0.2  # where one language has no value, the mean of the others
    for axes in right:  # one model: its values; two: how they differ
        (image,) = axes.images
        expected = (
            curves["model 1"].values - curves["model 0"].values if count == 2 else curves["model 0"].values
        )
        np.testing.assert_array_equal(np.ma.filled(image.get_array(), np.nan), expected)
