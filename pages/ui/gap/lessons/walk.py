"""Walking through the lessons: a question and a prediction, then the answer, why, the trap, and the next one.

The teacher's view is the same in large type, without the menu, with arrow keys and notes to speak from.
"""

from __future__ import annotations

from contextlib import suppress
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import streamlit as st
from streamlit.errors import StreamlitAPIException

from pages.ui import frame
from pages.ui.gap.address import say_refused
from pages.ui.gap.lessons.catalog import LESSONS
from pages.ui.gap.lessons.lesson import Lesson, Stage
from pages.ui.gap.settings import collections
from pages.ui.gap.shown import Shown
from pages.ui.glossary import explained
from pages.ui.wording import plain

if TYPE_CHECKING:
    from engine.workspace import Workspace
    from pages.ui.gap.lessons.lesson import Answer

_SHOWN = "lessons_shown"  # in the session: the slugs of those whose answer was asked for
_STYLE = """<style>
.gs-lesson {max-width: 52rem; line-height: 1.55;} .gs-lesson p {margin: .35rem 0;}
.gs-lesson .gs-ask {font-size: 1.35rem; line-height: 1.4; font-weight: 600;}
.gs-lesson .gs-out {font-size: 1.12rem;}
</style>"""
_LARGE = """<style>
[data-testid="stSidebar"], [data-testid="stHeader"], [data-testid="stExpandSidebarButton"] {display: none;}
[data-testid="stMainBlockContainer"] {padding-top: 1.2rem; max-width: 100rem;}
h1, .gs-lead, .st-key-view {display: none;}
.gs-lesson {max-width: 76rem;} .gs-lesson p {font-size: 1.45rem;} .gs-lesson .gs-ask {font-size: 2.3rem;}
.gs-lesson .gs-out {font-size: 1.7rem;} [data-testid="stCaptionContainer"] p {font-size: 1.15rem;}
h2 {font-size: 2.6rem !important;} .gs-side, .gs-read {zoom: 1.4;}
[data-testid="stMainBlockContainer"] label p, [data-testid="stMainBlockContainer"] button p
  {font-size: 1.25rem;}
</style>"""


def draw(workspace: Workspace) -> Shown | None:
    """Draw the lesson of the address, with what leads to the others; return what its answer showed."""
    teaching = st.query_params.get("teach") == "yes"
    st.html(_STYLE + (_LARGE if teaching else ""))
    lesson = _chosen()
    _ways(lesson, teaching)
    say_refused(lesson.ranges, lesson.one_of)
    st.header(f"{lesson.number} · {lesson.title}", anchor=False)
    _text("gs-ask", lesson.question)
    stage = _stage(workspace, lesson)
    if stage is None:
        return None
    answer = None
    expected = st.segmented_control("What do you expect?", lesson.choices, key=f"{lesson.slug}_expected")
    shown: set[str] = st.session_state.setdefault(_SHOWN, set())
    if lesson.slug not in shown:
        st.button(
            "Reveal",
            type="primary",
            icon=":material/visibility:",
            key=f"{lesson.slug}_reveal",
            on_click=shown.add,
            args=(lesson.slug,),
        )
    else:
        outcome = st.container()
        answer = lesson.draw(stage)
        if answer:
            with outcome:
                _text("gs-out", _told(answer, expected or ""))
            st.caption(plain(answer.about))
            _behind(lesson)
    if teaching:
        with st.expander("Notes for the speaker", icon=":material/speaker_notes:"):
            _text("", lesson.notes)
    if answer is None:
        return None
    own = (stage.collection,) if stage.collection else ()
    return Shown((*own, *answer.beside), answer.seed, answer.numbers, {"lesson": lesson.number})


def open_again(number: int, *, revealed: bool) -> None:
    """Turn to a lesson as it was taken away, with its answer if that was shown."""
    slug = next(one.slug for one in LESSONS if one.number == number)
    st.session_state.pop(f"lesson_of_{slug}", None)
    if revealed:
        st.session_state.setdefault(_SHOWN, set()).add(slug)
    st.query_params["lesson"] = str(number)


def _chosen() -> Lesson:
    """Return the lesson of the address, the first where it names none; says where there is no such."""
    asked = st.query_params.get("lesson", "1")
    by_number = {str(one.number): one for one in LESSONS}
    if asked not in by_number:
        st.warning(
            plain(f"There is no lesson {asked!r}; they go from 1 to {len(LESSONS)}. Here is the first.")
        )
    return by_number.get(asked, LESSONS[0])


def _ways(lesson: Lesson, teaching: bool) -> None:
    """Draw the way to the lesson before, the next, any, the teacher's view, a link and a reset."""
    at = LESSONS.index(lesson)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _step("Previous", at - 1, "Left", teaching)
        picked = st.selectbox(
            "Lesson",
            LESSONS,
            index=at,
            format_func=lambda one: f"{one.number} · {one.title}",
            key=f"lesson_of_{lesson.slug}",
            label_visibility="collapsed",
            width=330,
        )
        if picked is not None and picked != lesson:
            _go(LESSONS.index(picked))
            st.rerun()
        _step("Next", at + 1, "Right", teaching)
        st.button("Reset", key="lesson_reset", on_click=_reset, args=(lesson,), icon=":material/restart_alt:")
        with st.popover("Link", icon=":material/link:"):
            st.caption("Opens this lesson with its settings, before the answer.")
            st.code(f"{st.context.url or ''}?{urlencode(st.query_params.to_dict())}", language=None)
        st.button(
            "Leave the teacher's view" if teaching else "Teacher's view",
            key="lesson_teach",
            on_click=_teach,
            args=(not teaching,),
            icon=":material/co_present:",
            help="Large type for a projector, arrow keys, notes for the speaker.",
        )


def _step(label: str, to: int, arrow: str, teaching: bool) -> None:
    st.button(
        label,
        key=f"lesson_{label.lower()}",
        on_click=_go,
        args=(to,),
        disabled=not 0 <= to < len(LESSONS),
        shortcut=arrow if teaching else None,
    )


def _go(to: int) -> None:
    """Turn the address to another lesson; what was set in this one stays in the session."""
    slugs = {one.slug for one in LESSONS}
    _forget([key for key in st.query_params if key.partition("_")[0] in slugs])
    st.query_params["lesson"] = str(LESSONS[to].number)


def _reset(lesson: Lesson) -> None:
    """Set the prediction and the controls back; the collection stays, which is where a person works."""
    prefix, stays = f"{lesson.slug}_", f"{lesson.slug}_collection"
    for key in [str(key) for key in st.session_state if str(key).startswith(prefix) and key != stays]:
        del st.session_state[key]
    st.session_state[f"{prefix}expected"] = None  # what is only dropped stays in the browser
    _forget([key for key in st.query_params if key.startswith(prefix) and key != stays])
    st.session_state.setdefault(_SHOWN, set()).discard(lesson.slug)


def _forget(keys: list[str]) -> None:
    """Take settings out of the address; those of a control that is drawn go with it in the next run."""
    for key in keys:
        with suppress(StreamlitAPIException):  # bound to such a control
            del st.query_params[key]


def _teach(on: bool) -> None:
    if on:
        st.query_params["teach"] = "yes"
    else:
        st.query_params.pop("teach", None)


def _stage(workspace: Workspace, lesson: Lesson) -> Stage | None:
    """Ask for the collection the lesson plays on; None, with words, where there is none that can."""
    if not lesson.home:
        return Stage(workspace, "", lesson.slug)
    names = collections(workspace)
    if not names:
        st.info("This needs pictures with captions, and there are none yet.")
        st.page_link(frame.LIBRARY, label="Open the Library", icon=":material/photo_library:")
        return None
    key = f"{lesson.slug}_collection"
    if (asked := st.query_params.get(key)) and asked not in names:
        st.warning("The collection in this address has no pictures with texts here; showing another one.")
    index = names.index(lesson.home) if lesson.home in names else 0
    name = st.selectbox("Collection", names, index=index, key=key, bind="query-params", width=240)
    return Stage(workspace, name or names[0], lesson.slug)


def _told(answer: Answer, expected: str) -> str:
    if not expected or not answer.found:
        return answer.said
    if expected == answer.found:
        return f"As you expected: {answer.found}. {answer.said}"
    return f"You expected “{expected}”; it is “{answer.found}”. {answer.said}"


def _behind(lesson: Lesson) -> None:
    """Draw why, the paper and the trap."""
    _text("", " ".join(lesson.why))
    _text("", f"Trap: {lesson.trap}")
    st.caption(plain(f"Source: {lesson.paper}"))


def _text(kind: str, text: str) -> None:
    st.html(f'<div class="gs-lesson"><p class="{escape(kind)}">{explained(text)}</p></div>')
