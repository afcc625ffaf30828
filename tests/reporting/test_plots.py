"""Projection, smoothing and drawing."""

import json
from pathlib import Path

import numpy as np
import pytest
from begun_run import write_config
from matplotlib.lines import Line2D

from xalign.reporting.losses import losses, smooth
from xalign.reporting.measures import measure_of
from xalign.reporting.plots import in_context, languages, retrieval_by_layer
from xalign.reporting.run_folder import load_run
from xalign.reporting.sentences import MAX_POINTS, group_texts, project
from xalign.reporting.validation import chosen_step, validation


def test_smooth_is_a_centred_mean_that_skips_nan() -> None:
    smoothed = smooth(np.array([1.0, 2.0, np.nan, 4.0, 5.0]), 3)
    assert smoothed.tolist() == [1.5, 1.5, 3.0, 4.5, 4.5]


def test_curve_holds_the_means(run_dir: Path) -> None:
    run = load_run(run_dir)
    figure = retrieval_by_layer(run)
    assert figure is not None
    assert run.after is not None
    axes = figure.axes[0]
    expected = list(run.after.mean_by_layer("heldout", "retrieval@1").values())
    curves = [np.asarray(line.get_ydata()).tolist() for line in axes.lines]
    assert expected in curves


def test_unseen_languages_are_marked(run_dir: Path) -> None:
    figure = languages(load_run(run_dir))
    assert figure is not None
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert "Spanish *" in labels
    assert "French" in labels


def places(line: Line2D) -> float:
    return float(np.asarray(line.get_xdata())[0])


def test_accuracies_and_chance_are_where_they_belong(run_dir: Path) -> None:
    run = load_run(run_dir)
    figure = in_context(run, measure_of(run, "xnli", "accuracy"))
    (axes,) = figure.axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [places(line) for line in dots[:4]] == pytest.approx([0.62, 0.62, 0.5, 0.52])
    dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert [places(line) for line in dashed] == pytest.approx([1 / 3])
    low, high = axes.get_xlim()
    assert 0.2 < low < 1 / 3
    assert 0.7 < high < 0.8
    assert axes.get_yticklabels()[-1].get_text() == "Mean"


def test_projection_separates_languages_before_and_meanings_after(run_dir: Path) -> None:
    pictures = project(load_run(run_dir))
    shares = {}
    for moment, picture in pictures.items():
        distances = np.linalg.norm(picture.points[:, None] - picture.points[None], axis=-1)
        np.fill_diagonal(distances, np.inf)
        nearest = distances.argmin(axis=1)
        shares[moment] = (
            np.mean(picture.languages == picture.languages[nearest]),
            np.mean(picture.sentences == picture.sentences[nearest]),
        )
    assert shares["before"][0] > 0.8
    assert shares["after"][1] > 0.8


def test_projection_repeats_and_keeps_whole_sentences(run_dir: Path) -> None:
    file = run_dir / "evaluation/before.representations.npz"
    arrays = dict(np.load(file))
    copies = 4
    np.savez(
        file,
        vectors=np.tile(arrays["vectors"], (copies, 1)),
        languages=np.tile(arrays["languages"], copies),
        sentences=np.concatenate([arrays["sentences"] + 16 * copy for copy in range(copies)]),
        texts=np.tile(arrays["texts"], copies),
    )
    (run_dir / "evaluation/after.representations.npz").unlink()
    run = load_run(run_dir)
    first, second = project(run)["before"], project(run)["before"]
    np.testing.assert_array_equal(first.points, second.points)
    assert len(first.points) <= MAX_POINTS
    assert set(np.unique(first.sentences, return_counts=True)[1]) == {12}
    assert len(group_texts(run)) == len(first.groups) == 5
    assert all(text.endswith(" in en") for text in group_texts(run))


@pytest.mark.parametrize(
    "parts", [["loss"], ["loss", "loss/contrastive"], ["loss", "loss/contrastive", "lr"]]
)
def test_losses_with_few_series(tmp_path: Path, parts: list[str]) -> None:
    write_config(tmp_path)
    row = ", ".join(f'"{part}": 1.0' for part in parts)
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1, {row}}}\n')
    assert losses(load_run(tmp_path)) is not None


def write_validation(folder: Path, select: str | None) -> Path:
    rows = {
        10: {"retrieval@1/sw": 0.2, "retrieval@1/mean": 0.3, "bits_per_byte/mean": 2.0, "near_ties/mean": 1},
        20: {"retrieval@1/sw": 0.5, "retrieval@1/mean": 0.6, "bits_per_byte/mean": 1.8, "near_ties/mean": 0},
        30: {"retrieval@1/sw": 0.5, "retrieval@1/mean": 0.4, "bits_per_byte/mean": 1.9, "near_ties/mean": 0},
    }
    write_config(folder, trainer={"select": select})
    lines = [
        {"step": s, "loss": 1.0} | {f"eval/held/{k}": v for k, v in row.items()} for s, row in rows.items()
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_validation_curves(tmp_path: Path) -> None:
    run = load_run(write_validation(tmp_path, None))
    figure = validation(run)
    assert figure is not None
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in shown] == ["Retrieval@1 · held", "Bits per byte · held"]
    curves = [np.asarray(line.get_xydata()).tolist() for line in shown[0].lines]
    assert curves == [[[10, 0.2], [20, 0.5], [30, 0.5]], [[10, 0.3], [20, 0.6], [30, 0.4]]]
    assert chosen_step(run) is None


@pytest.mark.parametrize(
    ("select", "step", "named"),
    [("retrieval@1/sw", 20, 0), ("bits_per_byte/mean", 20, 1), ("near_ties/mean", 20, 2)],
)
def test_the_chosen_step_is_marked(tmp_path: Path, select: str, step: int, named: int) -> None:
    run = load_run(write_validation(tmp_path, f"eval/held/{select}"))
    assert chosen_step(run) == step
    figure = validation(run)
    assert figure is not None
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [places(axes.lines[-1]) for axes in shown] == [step] * len(shown)
    assert [[text.get_text() for text in axes.texts] for axes in shown] == [
        [f"chosen: {step}"] if i == named else [] for i in range(len(shown))
    ]


def test_no_validation_no_picture(run_dir: Path) -> None:
    assert validation(load_run(run_dir)) is None
