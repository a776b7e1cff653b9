"""Lesson 10: many modalities, and whether a bigger gap goes with worse retrieval; a dot per two of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from engine.report.numbers import numbers_of
from engine.storage.columns import last_change
from pages.ui import figure
from pages.ui.gap.lessons.lesson import Answer, Lesson, Stage
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.evaluation.pair_gap import PairGap
    from engine.lessons.many import Dots, Trend
    from engine.progress import Watch
    from engine.report.view_file import Number
    from engine.storage.data_folder import DataFolder

_WORSE, _BETTER, _UNTOLD = "yes, worse", "no, better", "these cannot tell"
_MEASURES = ("L2M", "RMG")
_LEAST = (4, 10, 20, 50, 100, 200)
_USUAL = 20
_QUICK_ITEMS = 5_000
_ALPHA = 0.05


def _compute(
    folder: DataFolder, collection: str, watch: Watch, *, least: int
) -> tuple[list[PairGap], Dots, tuple[Trend | None, ...]]:
    from engine.lessons.many import dots, matrix, trend

    rows = matrix(folder, collection, watch.part(0, 0.5))
    found = dots(folder, least=least, watch=watch.part(0.5, 1))
    r1 = np.array([one.r1 for one in found.dots])
    trends = [trend(np.array([getattr(one, name.lower()) for one in found.dots]), r1) for name in _MEASURES]
    return rows, found, tuple(trends)


def _draw(stage: Stage) -> Answer | None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        measure = st.selectbox("Gap", _MEASURES, key=stage.key("gap"), bind="query-params", width=120)
        least = st.selectbox(
            "Pairs at least",
            _LEAST,
            index=_LEAST.index(_USUAL),
            key=stage.key("least"),
            bind="query-params",
            width=140,
            help="All are measured on as many pairs as the smallest has; what has fewer than this is left "
            "out.",
        )
    folder, infos = stage.workspace.folder, stage.workspace.store.collections()
    computed = stage.computed(
        partial(_compute, least=int(least or _USUAL)),
        int(least or _USUAL),
        *(last_change(folder, info.name) for info in infos),  # the dots are of all collections
        title="Measuring every two modalities of every collection",
        quick=sum(info.total for info in infos) <= _QUICK_ITEMS,
    )
    if computed is None:
        return None
    rows, found, trends = computed
    name = measure or _MEASURES[0]
    st.markdown(f"**Every two modalities of {plain(stage.collection)}**")
    if rows:
        _maps(stage, rows, name)
        model = next(info.made_by.model for info in infos if info.name == stage.collection)
        _table(rows, model)
    _dots(stage, found, name)
    trend = trends[_MEASURES.index(name)]
    read = {one.collection for one in found.dots} - {stage.collection}
    numbers = _numbers(rows, found, trend)
    return Answer(*_answer(found, name, trend), numbers, found.seed, beside=tuple(sorted(read)))


def _numbers(rows: list[PairGap], found: Dots, trend: Trend | None) -> dict[str, Number]:
    """Return what the table and the chart show."""
    matrix = {}
    for one in rows:
        ways = (one.of_pairs.a_to_b, one.of_pairs.b_to_a) if one.of_pairs else (None, None)
        firsts = [way.hits["1"].mean if way else None for way in ways]
        kept = {"l2m": one.l2m, "rmg": one.rmg, "pairs": one.pairs}
        matrix[f"{one.a} and {one.b}"] = kept | dict(zip(("R@1 there", "R@1 back"), firsts, strict=True))
    return numbers_of({"matrix": matrix, "dots": found.dots, "n": found.n, "trend": trend})


def _maps(stage: Stage, rows: list[PairGap], measure: str) -> None:
    """Draw the gap of every two modalities, and how often the one finds its partner in the other first."""
    from engine.figures.heat_map import heat_map
    from engine.lessons.many import first_grid, gap_grid, modalities_of
    from engine.models.playground import Heading, Matrix

    headings = tuple(Heading(kind, plural(kind), kind) for kind in modalities_of(rows))
    drawn = (
        (gap_grid(rows, measure), measure, "nothing to measure"),
        (first_grid(rows), "R@1: the row asks, the column answers", "no pairs"),
    )
    for column, (values, label, empty) in zip(st.columns(2), drawn, strict=True):
        if np.isfinite(values).any():
            matrix = Matrix(headings, headings, values, stage.collection, "own")
            key = label.split(":")[0]
            with column:
                chart = heat_map(matrix, colour_label=label, empty=empty)
                figure.show(
                    chart, key=stage.key(f"matrix_{key}"), name=f"{stage.collection} {key} by modality"
                )


def _table(rows: list[PairGap], model: str) -> None:
    """Write the numbers out, with what each is measured on and what chance would give."""
    st.dataframe([_row(one) for one in rows], hide_index=True, width="stretch")
    one = rows[0]
    st.caption(
        plain(
            f"Model {model}, seed {one.seed}; in brackets 95 % intervals of {one.resamples} resamples. "
            "R@1 is among n candidates; by chance it is 1 in n."
        )
    )


def _row(one: PairGap) -> dict[str, str]:
    ways = (one.of_pairs.a_to_b, one.of_pairs.b_to_a) if one.of_pairs else (None, None)
    firsts = [
        f"{way.hits['1'].mean:.3f} (n {way.candidates:,}, chance {way.chance_hits['1']:.3f})" if way else ""
        for way in ways
    ]
    return {
        "modalities": f"{plural(one.a)} · {plural(one.b)}",
        "items": f"{one.n_a:,} · {one.n_b:,}",
        "pairs": f"{one.pairs:,}",
        "L2M": f"{one.l2m:.3f}{_interval(one, 'l2m')}",
        "RMG": "" if one.rmg is None else f"{one.rmg:.3f}{_interval(one, 'rmg')}",
        "R@1, the first asks": firsts[0],
        "R@1, the second asks": firsts[1],
    }


def _interval(one: PairGap, name: str) -> str:
    bounds = one.intervals.get(name)
    return f" ({bounds[0]:.3f} to {bounds[1]:.3f})" if bounds else ""


def _dots(stage: Stage, found: Dots, name: str) -> None:
    """Draw the dots, what has none and why, and the file to take away."""
    from engine.figures.gap_dots import GapDot, gap_dots_chart
    from engine.lessons.many import to_csv

    st.markdown(f"**Every two modalities of every collection, {len(found.dots)} in all**")
    if found.dots:
        marks = [
            GapDot(
                f"{plural(one.a)} · {plural(one.b)}",
                f"{one.collection} ({one.model})",
                getattr(one, name.lower()),
                one.r1,
            )
            for one in found.dots
        ]
        chart = gap_dots_chart(marks, measure=name, chance=1 / found.n)
        figure.show(chart, key=stage.key("chart"), name=f"{name} against recall")
        st.download_button(
            "CSV, one line per dot",
            to_csv(found),
            file_name="gap-and-retrieval.csv",
            mime="text/csv",
            key=stage.key("csv"),
            icon=":material/download:",
            on_click="ignore",
        )
    for said in found.left_out:
        st.caption(plain(f"Not among the dots: {said}"))


def _answer(found: Dots, name: str, trend: Trend | None) -> tuple[str, str, str]:
    """Return what came out, how it is told, and what it was computed from."""
    n, models = len(found.dots), len({one.model for one in found.dots})
    if not n:
        return _UNTOLD, "Nothing here has as many pairs as are asked for: there is no dot.", "0 dots."
    told = f"{n} dot{'s' if n > 1 else ''}, {models} model{'s' if models > 1 else ''}"
    about = (
        f"{told}, each on n = {found.n:,} pairs, drawn by seed {found.seed}; chance of R@1 is 1 in "
        f"{found.n:,}."
    )
    if trend is None:
        said = f"{told}: it takes 5 dots, not all of one gap or one recall, before their order says anything."
        return _UNTOLD, said, about
    word = _UNTOLD if trend.p > _ALPHA else _WORSE if trend.rho < 0 else _BETTER
    said = (
        f"{told}: Spearman's rho of {name} and R@1 is {trend.rho:.2f}; shuffled, one as strong comes up with "
        f"p = {trend.p:.3f}. Dots of the same pictures or of one model are not independent: even a small p "
        f"is a hint here, and a handful of dots proves nothing."
    )
    return word, said, about


LESSON = Lesson(
    number=10,
    slug="many",
    title="Many modalities, many gaps",
    question="Put every collection here on one chart, its gap against its recall. Is a bigger gap "
    "associated with worse retrieval?",
    choices=(_WORSE, _BETTER, _UNTOLD),
    draw=_draw,
    why=(
        "A gap moves all items of a modality by about as much, and a search within the other modality ranks "
        "only what was moved together.",
        "L2M does not see who belongs to whom: shuffle all pairs, and it stays the same while recall falls "
        "to chance.",
        "What recall depends on is how much nearer a pair is than what competes with it, and a model may "
        "have that with a large gap or a small one.",
    ),
    paper="Liang et al. 2022, Mind the Gap, table 1: moved to its best gap, accuracy rises with a larger "
    "one on some data sets and with a smaller one on others.",
    trap="Cosines and L2M are not comparable from one model to another, and both recall and L2M change with "
    "the number of pairs: fewer are easier to find, and their centroids lie farther apart by chance. Hence "
    "the same n for all; and a handful of dots proves nothing.",
    notes="Have the room guess before the chart is shown, then ask what a line through these dots would be "
    "worth. Take the CSV along, and add a dot with every model that is tried. What would settle it is one "
    "model, its gap changed and nothing else: lessons 6 and 7.",
    one_of={"many_gap": _MEASURES, "many_least": tuple(map(str, _LEAST))},
)
