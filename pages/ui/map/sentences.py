"""What the numbers under a map say, as sentences: each with its number, direction, chance level and meaning.

The numbers are the engine's (`engine/maps/quality.py`, `engine/evaluation/gap_matrix.py`); what is asked for
and drawn is `numbers.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pages.ui.wording import plural

if TYPE_CHECKING:
    from engine.analysis.gap_chance import Null
    from engine.evaluation.pair_gap import PairGap
    from engine.maps.quality import MapQuality

HIGH_IS_GOOD, NEITHER = "high is good", "neither good nor bad"


@dataclass(frozen=True)
class Sentence:
    """One number in words: `null` is what it would be by chance, `meaning` what is computed and from what."""

    words: str
    number: str
    direction: str
    null: str
    meaning: str


def of_map(found: MapQuality) -> list[Sentence]:
    """Return how far one map can be believed; nothing where it has too few items."""
    if found.trustworthiness is None or found.continuity is None or found.overlap is None:
        return []
    k = found.k
    sentences = [
        Sentence(
            _graded(
                found.trustworthiness,
                "What lies close together on the map is close in the vectors too",
                "Most of what lies close together on the map is close in the vectors too",
                "Much of what lies close together on the map is not close in the vectors",
            ),
            f"{found.trustworthiness:.2f}",
            HIGH_IS_GOOD,
            f"{found.intrusion_chance:.2f} for places at random",
            f"Trustworthiness (Venna and Kaski 2001): 1, less a penalty for every item that is among the {k} "
            "nearest on the map and not in the vectors; the farther it is there, the more it costs.",
        ),
        Sentence(
            _graded(
                found.continuity,
                "What is close in the vectors lies close together on the map too",
                "Most of what is close in the vectors lies close together on the map too",
                "Much of what is close in the vectors is torn apart on the map",
            ),
            f"{found.continuity:.2f}",
            HIGH_IS_GOOD,
            f"{found.intrusion_chance:.2f} for places at random",
            f"Continuity (Venna and Kaski 2001): 1, less a penalty for every item that is among the {k} "
            "nearest in the vectors and not on the map.",
        ),
        Sentence(
            f"Of an item's {k} nearest in the vectors, {found.overlap * k:.1f} are among its {k} nearest "
            "on the map",
            f"{found.overlap:.2f}",
            HIGH_IS_GOOD,
            f"{found.overlap_chance:.2f} for places at random",
            "Neighbour overlap: the mean share of the nearest neighbours in the vectors that the map keeps. "
            "Two dimensions cannot keep them all.",
        ),
    ]
    return sentences + _mixing(found)


def _mixing(found: MapQuality) -> list[Sentence]:
    shares = found.cross_modal_original, found.cross_modal_map, found.cross_modal_chance
    if shares[0] is None or shares[1] is None or shares[2] is None:
        return []
    vectors, on_map, chance = shares
    return [
        Sentence(
            f"Of an item's {found.k} nearest, {vectors:.0%} are of another modality in the vectors, and "
            f"{on_map:.0%} on the map",
            f"{vectors:.2f} → {on_map:.2f}",
            NEITHER,
            f"{chance:.2f} if modality did not matter",
            "The share of the nearest neighbours that are of another modality. 0 is an island for each "
            "modality. Where the two numbers differ, the map shows islands that are none, or hides some.",
        )
    ]


def of_gap(found: PairGap) -> list[Sentence]:
    """Return how far apart two modalities are in the vectors."""
    one, other = plural(found.a), plural(found.b)
    null = found.null
    sentences = [
        Sentence(
            f"The middle of the {one} lies {found.l2m:.2f} from the middle of the {other}",
            f"{found.l2m:.2f}{_interval(found, 'l2m')}",
            NEITHER,
            f"{null.mean:.2f} with shuffled modalities, {_p(null)}" if null else "too few to say",
            "L2M (Liang et al. 2022): the distance of the two centroids of unit vectors, 0 to 2. A gap does "
            "not say that retrieval is worse: the order within a modality can be right all the same.",
        )
    ]
    if found.separability is not None:
        sentences.append(
            Sentence(
                _told_apart(found.separability, one, other),
                f"{found.separability:.2f}{_interval(found, 'separability')}",
                NEITHER,
                f"0.50 by guessing, {_p(found.null_separability)}" if found.null_separability else "",
                "Separability: the balanced accuracy of a linear classifier of the modality on pairs that it "
                "has not seen. 1 is two islands that a plane divides.",
            )
        )
    return sentences


def _interval(found: PairGap, name: str) -> str:
    """Return where 95 of 100 collections like this one would have the number, in brackets; "" for unknown."""
    bounds = found.intervals.get(name)
    return "" if bounds is None else f" ({bounds[0]:.2f} to {bounds[1]:.2f})"


def _p(null: Null) -> str:
    return f"p = {null.p:.3f}" if null.p >= 0.0005 else "p < 0.001"


def _graded(value: float, most: str, some: str, few: str) -> str:
    return most if value >= 0.95 else some if value >= 0.8 else few


def _told_apart(accuracy: float, one: str, other: str) -> str:
    if accuracy >= 0.995:
        return f"Every one of the {one} can be told from the {other} by its vector alone"
    if accuracy >= 0.9:
        return f"Nearly all {one} can be told from the {other} by their vectors alone"
    if accuracy >= 0.6:
        return f"Many {one} can be told from the {other} by their vectors alone"
    return f"The {one} can hardly be told from the {other} by their vectors"
