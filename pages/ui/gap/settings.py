"""What a training of two towers is asked for: collection, temperature and the rest; all in the address."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from engine.analysis.two_towers import STARTS, TowerSettings
from pages.ui.gap.address import Controls, say_refused

if TYPE_CHECKING:
    from engine.workspace import Workspace

TEMPERATURES = (0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.2, 0.5, 1.0)
EXPECTED = ("two islands", "partly mixed", "one mixed cloud")


# What an address may ask for: between two numbers, or one of some.
RANGES = {"mismatched": (0.0, 1.0), "steps": (1, 5_000), "seed": (0, 2**32 - 1), "held_out": (0.0, 0.9)}
ONE_OF: dict[str, list[str]] = {"temperature": [f"{one:g}" for one in TEMPERATURES], "start": [*STARTS]}
CONTROLS = Controls(
    ("collection", *RANGES, *ONE_OF, "expected", "towers_step_a"),
    {**RANGES, "towers_step_a": (0, 5_000)},
    {**ONE_OF, "expected": EXPECTED},
)


@dataclass(frozen=True)
class Asked:
    """What is to be trained, what a person expects of it ("" for nothing), and whether to begin now."""

    collection: str
    settings: TowerSettings
    expected: str
    pressed: bool


def collections(workspace: Workspace) -> list[str]:
    """Return the collections that have pictures and texts, the samples first."""
    infos = workspace.store.collections()
    found = [one.name for one in infos if one.counts.get("image") and one.counts.get("text")]
    return sorted(found, key=lambda name: name != "samples")


def ask(names: list[str]) -> Asked:
    """Draw the choices and return them; says what an address asks for and cannot be."""
    say_refused(RANGES, ONE_OF)
    if (asked := st.query_params.get("collection")) and asked not in names:
        st.warning("The collection in this address has no pictures with texts here; showing another one.")
    with st.form("towers", border=True):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            collection = st.selectbox("Collection", names, key="collection", bind="query-params", width=180)
            temperature = st.selectbox(
                "Temperature",
                TEMPERATURES,
                key="temperature",
                bind="query-params",
                width=130,
                help="Cosines are divided by it before the softmax of the loss. CLIP ends at 0.01.",
            )
            start = st.selectbox(
                "Features",
                STARTS,
                key="start",
                bind="query-params",
                width=130,
                help="Cone: as they are, the features of each modality lie in a narrow cone, away from zero. "
                "Centred: their mean is subtracted first.",
            )
            mismatched = st.number_input(
                "Mismatched share",
                0.0,
                1.0,
                0.0,
                0.1,
                key="mismatched",
                bind="query-params",
                width=150,
                help="So many of the pairs are trained with the caption of another picture.",
            )
        settings = _more(float(temperature or 0.01), start or "cone", float(mismatched or 0.0))
        expected = st.segmented_control(
            "Before you train: what will the pictures and the texts form?", EXPECTED, key="expected"
        )
        pressed = st.form_submit_button("Train", type="primary", icon=":material/play_arrow:")
    return Asked(collection or names[0], settings, expected or "", pressed)


def _more(temperature: float, start: str, mismatched: float) -> TowerSettings:
    with st.expander("Steps, seed, held-out share"), st.container(horizontal=True):
        steps = st.number_input("steps", 1, 5_000, 300, key="steps", bind="query-params", width=130)
        seed = st.number_input("seed", 0, 2**32 - 1, 0, key="seed", bind="query-params", width=130)
        held = st.number_input(
            "held-out share",
            0.0,
            0.9,
            0.23,
            0.01,
            key="held_out",
            bind="query-params",
            width=130,
            help="So many of the pairs are not trained on, only measured.",
        )
    return TowerSettings.of(
        {
            "temperature": temperature,
            "start": start,
            "mismatched": mismatched,
            "steps": int(steps or 1),
            "seed": int(seed or 0),
            "held_out": float(held or 0.0),
        }
    )
