"""The picture of the sentences: their vectors in two dimensions, before and after.

t-SNE on cosine distances: the distances that retrieval uses. PCA was tried first: on the strongly
anisotropic vectors of language models its first axes show neither languages nor meanings. Before and
after are projected apart, with the same settings and the same sentences, so only what lies together can
be compared, not where it lies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from sklearn.manifold import TSNE

from xalign.base.drawing import INK, hide_axes, language_look, new_figure
from xalign.reporting.measures import language_name, ordered_languages, role_of
from xalign.reporting.records import Representations, Run

MAX_POINTS = 600
GROUPS = 5
PERPLEXITY = 12.0
MIN_POINTS = 8


@dataclass(frozen=True, kw_only=True)
class Projection:
    """Points (n, 2), their languages (n,) and sentence numbers (n,); `groups`: the sentences to join."""

    points: NDArray[np.float32]
    languages: NDArray[np.str_]
    sentences: NDArray[np.int64]
    groups: tuple[int, ...]


def project(run: Run) -> dict[str, Projection]:
    """`before` and `after` in two dimensions, as far as the run has them."""
    pairs = {"before": run.before_representations, "after": run.after_representations}
    return {
        moment: _project(found)
        for moment, found in pairs.items()
        if found and len(found.languages) >= MIN_POINTS
    }


def group_texts(run: Run) -> list[str]:
    """The pivot's text of each joined group, in the order of their numbers in the picture."""
    found = run.before_representations or run.after_representations
    if found is None or len(found.languages) < MIN_POINTS:
        return []
    texts = {}
    for code, sentence, text in zip(found.languages, found.sentences, found.texts, strict=True):
        if code == run.pivot or int(sentence) not in texts:
            texts[int(sentence)] = text
    return [texts[sentence] for sentence in _groups(found, _kept(found))]


def sentences(run: Run) -> Figure | None:
    """Sentences in two dimensions, coloured by language; lines join some sentences to their translations."""
    pictures = project(run)
    if not pictures:
        return None
    figure = new_figure(10, 10 / len(pictures) + 0.9 if len(pictures) > 1 else 6.5)
    codes = ordered_languages(run, {code for picture in pictures.values() for code in picture.languages})
    for axes, (moment, picture) in zip(
        np.ravel(figure.subplots(1, len(pictures))), pictures.items(), strict=True
    ):
        _scatter(axes, picture, codes)
        layer = "" if run.aligned_layer is None else f", layer {run.aligned_layer}"
        axes.set_title(f"{moment.capitalize()} training{layer}")
    handles = []
    for index, code in enumerate(codes):
        colour, marker = language_look(index)
        mark = " *" if role_of(run, code) == "unseen" else ""
        handles.append(
            Line2D(
                [],
                [],
                color=colour,
                marker=marker,
                linestyle="",
                markersize=5,
                label=language_name(code) + mark,
            )
        )
    if any(role_of(run, code) == "unseen" for code in codes):
        handles.append(Line2D([], [], linestyle="", label="* not trained on"))
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(7, (len(handles) + 1) // 2),
        fontsize=9,
        handletextpad=0.2,
    )
    return figure


def _project(found: Representations) -> Projection:
    kept = _kept(found)
    vectors = found.vectors[kept]
    tsne = TSNE(
        metric="cosine",
        init="random",
        random_state=0,
        perplexity=min(PERPLEXITY, (len(vectors) - 1) / 3),
        n_jobs=1,
    )
    return Projection(
        points=tsne.fit_transform(vectors),
        languages=np.array(found.languages)[kept],
        sentences=found.sentences[kept],
        groups=_groups(found, kept),
    )


def _kept(found: Representations) -> NDArray[np.bool_]:
    """Whole sentences, evenly spread, up to the number of points that a picture bears."""
    numbers = np.unique(found.sentences)
    share = min(1.0, MAX_POINTS / len(found.sentences))
    count = max(1, int(len(numbers) * share))
    return np.isin(found.sentences, numbers[np.linspace(0, len(numbers) - 1, count).astype(int)])


def _groups(found: Representations, kept: NDArray[np.bool_]) -> tuple[int, ...]:
    """Evenly spread among the sentences in most languages, so that none is picked for its looks."""
    numbers, counts = np.unique(found.sentences[kept], return_counts=True)
    widest = numbers[counts == counts.max()]
    count = min(GROUPS, len(widest))
    return tuple(
        int(number) for number in widest[np.linspace(0, len(widest) - 1, count + 2).astype(int)[1:-1]]
    )


def _scatter(axes: Axes, picture: Projection, codes: Sequence[str]) -> None:
    for index, code in enumerate(codes):
        colour, marker = language_look(index)
        chosen = picture.languages == code
        x, y = picture.points[chosen].T
        axes.scatter(x, y, s=16, color=colour, marker=marker, alpha=0.75, linewidths=0)
    for number, sentence in enumerate(picture.groups, start=1):
        points = picture.points[picture.sentences == sentence]
        # The medoid: a mean would lie where there is no sentence.
        distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
        centre = points[distances.sum(axis=1).argmin()]
        for point in points:
            axes.plot(*np.stack([centre, point]).T, color=INK, linewidth=0.7, alpha=0.55)
        axes.annotate(
            str(number),
            centre,
            ha="center",
            va="center",
            fontsize=8,
            fontweight="bold",
            color="white",
            bbox={"boxstyle": "circle,pad=0.25", "facecolor": INK, "edgecolor": "white"},
        )
    axes.set_aspect("equal", adjustable="datalim")
    hide_axes(axes)
