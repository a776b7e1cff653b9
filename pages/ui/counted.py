"""What was not taken, counted by reason: in a preview before, and in a job's report after."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from engine.types import Failure, LeftOut


def say_failed(failed: tuple[Failure, ...], kinds: tuple[LeftOut, ...], *, what: str = "failed") -> None:
    """Show what failed: all of it by kind where that is more than a few, and the first one by one."""
    count = sum(kind.count for kind in kinds) or len(failed)
    if not count:
        return
    with st.expander(f"{count:,} {what}", icon=":material/warning:", expanded=count <= 10):
        if count > len(failed):
            _table(kinds)
            st.caption(f"The first {len(failed):,} of them:")
        rows = [{"file": failure.name, "reason": failure.reason} for failure in failed]
        st.dataframe(rows, hide_index=True, width="stretch")


def say_left_out(left: tuple[LeftOut, ...]) -> None:
    """Show what is not taken on purpose, by reason."""
    if left:
        count = sum(one.count for one in left)
        with st.expander(f"{count:,} left out", icon=":material/filter_alt:", expanded=len(left) <= 3):
            _table(left)


def _table(reasons: tuple[LeftOut, ...]) -> None:
    rows = [{"count": one.count, "reason": one.reason, "such as": ", ".join(one.examples)} for one in reasons]
    st.dataframe(rows, hide_index=True, width="stretch")
