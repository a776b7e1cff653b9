"""Width and precision: one collection's vectors cut, as bytes and as bits, and what each costs and gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.jobs.lesson_computation import lesson_of
from engine.types import MODALITIES, Modality
from pages.ui import figure, waiting
from pages.ui.gap import side_table
from pages.ui.glossary import caption, explained
from pages.ui.wording import plain, plural

if TYPE_CHECKING:
    from engine.lessons.recalls import Recalls
    from engine.lessons.widths import Widths
    from engine.storage.chroma import CollectionInfo
    from engine.workspace import Workspace

_FEW = 5_000  # vectors, below which a search in NumPy takes a tenth of a millisecond at any width
QUICK_ITEMS = 20_000  # of which the vectors are read and compared in some seconds
COLLECTION, BETWEEN = "widths_collection", "widths_between"
_HOW = (
    "int8: 256 equal steps between the lowest and the highest number of each dimension, of both modalities "
    "together, taken from the calibration half and measured on the other; questions stay float32. binary: "
    "only whether a number is above 0, compared by how many bits differ (Hamming), questions too. Rescored: "
    "that search for 4 k candidates, and their order by the float32 question and int8; the bits are read for "
    "every question, the bytes only of the candidates. L2M and RMG are of the vectors that are compared, at "
    "unit length: the cut ones, what bytes stand for, signs as 1 and -1; rescored ones have those of int8."
)
_NUMPY = (
    "NumPy has no product of bytes and turns int8 into float32 on the way: here int8 saves memory and not "
    "time, and an index made for it saves both."
)


def there(info: CollectionInfo) -> list[Modality]:
    """Return the modalities that a collection holds."""
    return [one for one in MODALITIES if info.counts.get(one)]


def draw(workspace: Workspace, infos: dict[str, CollectionInfo]) -> Widths | None:
    """Ask for a collection, and draw all steps of its vectors."""
    st.subheader("Width and precision", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        info = _collection(infos)
        a, b = _modalities(info)
    found = _computed(workspace, info, a, b)
    if found is None:
        return None
    st.markdown(plain(trained(found)))
    side_table.table(["kept as", *(explained(one.name) for one in found.steps)], [("", _rows(found))])
    _figure(found)
    caption(_about(found))
    with st.expander("How each is kept, and what is measured of it"):
        caption(f"{_HOW} {_NUMPY}")
    return found


def _collection(infos: dict[str, CollectionInfo]) -> CollectionInfo:
    if (asked := st.query_params.get(COLLECTION)) and asked not in infos:
        st.warning(plain(f"The collection {asked!r} has no two kinds of items here; showing another one."))
    names = sorted(infos, key=lambda name: -infos[name].made_by.dim)  # the widest has most to lose
    name = st.selectbox("Collection", names, key=COLLECTION, bind="query-params", width=180)
    return infos[name or names[0]]


def _modalities(info: CollectionInfo) -> tuple[Modality, Modality]:
    """Ask for two modalities where there are more."""
    from engine.lessons.pairs import twos

    names = {f"{plural(a)} and {plural(b)}": (a, b) for a, b in twos(there(info))}
    if len(names) == 1:
        return next(iter(names.values()))
    chosen = st.selectbox("Between", list(names), key=BETWEEN, bind="query-params", width=190)
    return names[chosen or next(iter(names))]


def _computed(workspace: Workspace, info: CollectionInfo, a: Modality, b: Modality) -> Widths | None:
    from engine.lessons.widths import widths

    task = lesson_of(
        workspace,
        info.name,
        ("widths", a, b),
        lambda folder, name, watch: widths(folder, name, a=a, b=b, watch=watch),
        title="Measuring widths and precisions",
        quick=info.total <= QUICK_ITEMS,
    )
    found = waiting.results([task], label=task.title, key="widths_compute")
    return None if found is None else found[0]


def trained(found: Widths) -> str:
    """Return whether the model was trained for narrower vectors, as far as is known."""
    if found.trained_widths:
        listed = ", ".join(map(str, found.trained_widths))
        return (
            f"The card of {found.model} names narrower widths that it was trained for (Matryoshka): "
            f"{listed}. Any other cut is not what it was trained for."
        )
    return (
        f"Nothing known here says that {found.model} was trained to be cut: the first numbers of its vectors "
        f"need not be the ones that matter most, and what a cut keeps is what is measured below."
    )


def _rows(found: Widths) -> list[tuple[str, list[str]]]:
    """Return a row per measure, with a cell per step."""
    steps = found.steps
    rows = [
        ("bytes a vector", [f"{one.bytes_per_vector:,}" for one in steps]),
        (f"MB for all {found.items:,} items", [f"{one.megabytes:.3g}" for one in steps]),
        ("ms a question", [f"{one.ms:.3g}" for one in steps]),
        ("L2M", [f"{one.l2m:.3f}" for one in steps]),
        ("RMG", [f"{one.rmg:.3f}" for one in steps]),
    ]
    for words, sides in _sides(found):
        for k in sides[0].hits:
            chance = f"chance {min(1.0, k / found.n):.1%}"
            rows.append((f"R@{k}, {words} ({chance})", [side_table.percent(one.hits[k]) for one in sides]))
        rows.append((f"R@1, {words}: minus that of float32", [side_table.change(one) for one in sides]))
    return rows


def _sides(found: Widths) -> list[tuple[str, list[Recalls]]]:
    a, b = plural(found.a), plural(found.b)
    both = [one.a_to_b for one in found.steps], [one.b_to_a for one in found.steps]
    return [(f"{a} to {b}", both[0]), (f"{b} to {a}", both[1])]


def _figure(found: Widths) -> None:
    from engine.figures.size_chart import Kept, size_chart

    lines = {
        f"R@{k}, {words}": [one.hits[k].mean for one in sides]
        for k in (1, 10)
        for words, sides in _sides(found)
    }
    kept = [Kept(step.name, step.megabytes) for step in found.steps]
    figure.show(size_chart(kept, lines), key="widths_chart", name=f"recall against size {found.collection}")


def _about(found: Widths) -> str:
    """Return what it was computed from, and how each step is made."""
    from engine.analysis.compression import OVERSAMPLE
    from engine.lessons.widths import KS, SEARCHES

    n, calls = found.n, " Among so few that is mostly what the calls cost." if found.timed < _FEW else ""
    few = "" if n + found.fitted == found.there else f", drawn by seed {found.seed} from {found.there:,}"
    ks, candidates = (" and ".join(f"{min(at * k, n):,}" for k in KS) for at in (1, OVERSAMPLE))
    facts = [
        f"n = {n:,} pairs of {plural(found.a)} and {plural(found.b)}{few}, int8 calibrated on "
        f"{found.fitted:,} others; k = {ks}, for which rescoring looks at {candidates} of the {n:,}; "
        f"collection {found.collection}, model {found.model}, seed {found.seed}.",
        f"ms: the median of {SEARCHES} exact searches in NumPy for 10 of {found.timed:,} vectors, one "
        f"thread, measured on this machine when this was computed, beside whatever else it did.{calls}",
    ]
    return " ".join([*facts, *(f"Left out: {why}." for why in found.left_out), *found.notes])


def numbers(found: Widths) -> dict[str, float | int | str | None]:
    """Return the numbers that were shown, by step and what they are."""
    named: dict[str, float | int | str | None] = {"widths: n": found.n, "widths: fitted": found.fitted}
    for step in found.steps:
        of = f"{found.collection}, {step.name}"
        named |= {
            f"{of}: {name}": getattr(step, name)
            for name in ("bytes_per_vector", "megabytes", "ms", "l2m", "rmg")
        }
        for way, side in (("a_to_b", step.a_to_b), ("b_to_a", step.b_to_a)):
            named |= {f"{of}: R@{k} {way}": hit.mean for k, hit in side.hits.items()}
    return named
