"""Lesson 12: anchored models such as Pocket; no island by construction, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from engine.report.numbers import numbers_of
from pages.ui.gap.lessons.lesson import SAMPLES, TOWERS, Answer, Lesson, Stage
from pages.ui.gap.lessons.words import about

if TYPE_CHECKING:
    from engine.lessons.anchored import Anchored, Space
    from engine.progress import Watch
    from engine.storage.data_folder import DataFolder

_SAME, _WORSE, _STAYS = "gap closed, search not clearly worse", "gap closed, search worse", "gap still there"
_TOPS = (1, 10, 50)
_USUAL = 10
_CLOSED = 0.5  # of the raw L2M: what is left of chance alone differs with n


def _compute(folder: DataFolder, collection: str, watch: Watch) -> tuple[Anchored, tuple[str, Space] | None]:
    from engine.lessons.anchored import anchored, as_they_are
    from engine.lessons.pairs import read_pairs

    found = anchored(read_pairs(folder, collection), _TOPS)
    return found, None if collection == SAMPLES else as_they_are(folder, SAMPLES, n=len(found.held))


def _draw(stage: Stage) -> Answer | None:
    chosen = st.selectbox(
        "T, captions to a picture",
        _TOPS,
        index=_TOPS.index(_USUAL),
        key=stage.key("top"),
        bind="query-params",
        width=200,
    )
    computed = stage.computed(_compute, title="Anchoring pictures to captions")
    if computed is None:
        return None
    found, samples = computed
    top = int(chosen or _USUAL)
    rows = [_row("raw", found.raw)]
    rows += [
        _row(f"anchored, T = {one}{' (chosen)' if one == top else ''}", space)
        for one, space in found.by_top.items()
    ]
    if samples is not None:
        rows.append(_row(f"{SAMPLES} by {samples[0]}, as they are", samples[1]))
    st.dataframe(rows, hide_index=True, width="stretch")
    space, raw, change = found.by_top[top], found.raw, found.changes[top]
    closed = space.l2m < _CLOSED * raw.l2m
    return Answer(
        _STAYS if not closed else _WORSE if change.high < 0 else _SAME,
        f"With the {min(top, found.anchors)} nearest captions L2M goes from {raw.l2m:.2f} to "
        f"{space.l2m:.2f}, and pictures take {space.share:.0%} of the first {space.k} in a mixed list, "
        f"after {raw.share:.0%}. R@1 from caption to picture goes from {raw.r1:.3f} to {space.r1:.3f} "
        f"(change {change.mean:+.3f}, 95 % interval {change.low:+.3f} to {change.high:+.3f}). Of "
        f"{space.n:,} pictures {space.distinct:,} different vectors are left.",
        about(
            found.held,
            f"anchors: the {found.anchors:,} captions of the other half",
            f"k = {space.k}",
            f"seed {found.held.seed}",
        ),
        numbers_of({"raw": raw, "by_top": found.by_top, "changes": found.changes})
        | ({} if samples is None else numbers_of(samples[1], SAMPLES)),
        found.held.seed,
        beside=() if samples is None else (SAMPLES,),
    )


def _row(name: str, space: Space) -> dict[str, str]:
    return {
        "pictures": name,
        "n": f"{space.n:,}",
        "L2M": f"{space.l2m:.3f}",
        f"pictures in a mixed first {space.k}": f"{space.share:.0%}",
        "R@1, caption to picture": f"{space.r1:.3f}",
        "different vectors": f"{space.distinct:,}",
    }


LESSON = Lesson(
    number=12,
    slug="anchored",
    title="Anchored models: no island, at a price",
    question="Every picture's vector becomes a mean of the captions nearest to it, captions of other "
    "pictures. What becomes of the gap, and of the search?",
    choices=(_SAME, _WORSE, _STAYS),
    draw=_draw,
    why=(
        "A mean of captions lies among the captions: no island by construction, and no lesson that the model "
        "has learned.",
        "What a picture shows beyond those captions is not in the mean any more, and two pictures with the "
        "same nearest caption are one point at T = 1.",
        "A mean of many captions lies nearer to the middle of all of them, and what is near the middle is "
        "near every question: it may crowd a mixed list from the other side.",
    ),
    paper="Norouzi et al. 2014, Zero-shot learning by convex combination of semantic embeddings (ConSE); "
    "here with captions for labels and softmax(100 × cosine) for a classifier.",
    trap="A small L2M is not a good model. Look at recall, at the mixed list and at how many different "
    "vectors are left before a gap that is closed is called an achievement.",
    notes="Pocket makes its picture vectors in this way, of a thousand class names: that is why its map is "
    "mixed. Go from T = 50 to T = 1 and read the last column: pictures that share a caption are one point. "
    "Then ask what the room would give up to have no gap.",
    home=TOWERS,
    one_of={"anchored_top": tuple(map(str, _TOPS))},
)
