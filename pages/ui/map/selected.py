"""What a visitor has selected and marked on a map, by id; kept in their session."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

_STATE = "map_chosen"


@dataclass
class Chosen:
    """What one visitor has selected and marked; of one map at a time, as `of` says.

    `turn` goes up with every change, by which the canvases take it over.
    """

    of: str = ""
    ids: tuple[str, ...] = ()
    marked: str = ""
    turn: int = 0

    def follow(self, of: str) -> None:
        """Forget the selection where another map is shown now."""
        if self.of != of:
            self.of, self.ids, self.turn = of, (), self.turn + 1

    def select(self, ids: tuple[str, ...]) -> None:
        """Select these and nothing else."""
        self.ids, self.turn = ids, self.turn + 1


def chosen() -> Chosen:
    """Return what this visitor has selected."""
    return st.session_state.setdefault(_STATE, Chosen())
