"""Marking a hit as right or wrong for its question; the marks are the collection's and feed Evaluate."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from engine.errors import GapscopeError
from pages.ui.wording import say_error

if TYPE_CHECKING:
    from engine.workspace import Workspace

_ERROR = "mark_error"
# What is pressed differs in shape, not in colour alone.
_RIGHT = (1, "Right", ":material/check:", ":material/check_circle:")
_WRONG = (0, "Wrong", ":material/close:", ":material/cancel:")


def buttons(workspace: Workspace, collection: str, question: str, item_id: str, *, key: str) -> None:
    """Draw "Right" and "Wrong" for one item; pressing what is marked takes the mark back.

    question: from `engine.evaluation.judgements.question_key`. key: tells several lists on one page apart.
    """
    from engine.evaluation.judgements import Judgements

    grade = Judgements(workspace.ledger).grade(collection, question, item_id)
    present = "none" if grade is None else "right" if grade else "wrong"
    mark = partial(_mark, workspace, collection, question, item_id)
    with st.container(
        horizontal=True, width="content", gap="xxsmall", key=f"marks_{present}_{key}_{item_id}"
    ):
        for value, label, icon, pressed_icon in (_RIGHT, _WRONG):
            pressed = present == label.lower()
            more = "Press again to undo." if pressed else "Counts in Evaluate."
            st.button(
                label,
                key=f"{label.lower()}_{key}_{item_id}",
                icon=pressed_icon if pressed else icon,
                type="tertiary",
                help=f"{'Marked ' + present if pressed else label} for this question. {more}",
                on_click=mark,
                args=(None if pressed else value,),
            )


def summary(workspace: Workspace, collection: str, question: str) -> None:
    """Say how many items are marked for a question, and what the last press could not do."""
    from engine.evaluation.judgements import Judgements

    if error := st.session_state.pop(_ERROR, None):
        say_error(error)
    grades = Judgements(workspace.ledger).for_question(collection, question).values()
    right = sum(grade > 0 for grade in grades)
    if grades:
        st.caption(f"{right:,} marked right, {len(grades) - right:,} wrong for this question")
    else:
        st.caption("Mark hits as right or wrong for this question: the marks count in Evaluate.")


def _mark(workspace: Workspace, collection: str, question: str, item_id: str, grade: float | None) -> None:
    """Store a press before the page is drawn again, so that one run shows it."""
    from engine.evaluation.judgements import Judgements

    try:
        Judgements(workspace.ledger).mark(collection, question, item_id, grade)
    except GapscopeError as error:  # a callback runs outside the page's border for errors
        st.session_state[_ERROR] = str(error)
