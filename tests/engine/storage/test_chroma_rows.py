"""Items, filters, provenance and distances take Chroma's forms and come back, without a Chroma."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.storage.chroma_rows import (
    chroma_name,
    collection_metadata,
    is_staged,
    made_as,
    old_name,
    provenance_of,
    similarity,
    to_item,
    to_metadata,
)
from engine.storage.staging import StagingName
from engine.types import Item, Provenance
from tests.helpers.data import MADE_BY

PROMPTED = Provenance("hub/model", "abc", 8, "bfloat16", "query: ", "", None, 4096, "torch 2")
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(
    st.builds(
        Item,
        id=st.just("a" * 64),
        modality=st.sampled_from(["text", "image", "audio", "video"]),
        name=TEXT,
        mime=TEXT,
        pair=TEXT.filter(bool),
        caption=TEXT,
        labels=st.lists(TEXT, max_size=3).map(tuple),
        media=st.none() | TEXT.filter(bool),
        width_px=st.none() | st.integers(0, 9),
        start_seconds=st.none() | st.floats(0, 10),
        metadata=st.dictionaries(st.sampled_from(["city", "caption", "year"]), st.integers(1, 9)).map(
            lambda said: tuple(sorted(said.items()))
        ),
    )
)
def test_an_item_comes_back_from_its_metadata(item: Item):
    flat = to_metadata(item)
    assert to_item(item.id, flat) == item
    assert not [key for key, value in flat.items() if value in (None, "", [])] and "id" not in flat


def test_a_row_of_another_version_is_still_an_item():
    """What is not known is left out, and a row without metadata stands for itself."""
    item = to_item("b", {"modality": "image", "name": "b.jpg", "of a later version": 1})
    assert item == Item("b", "image", "b.jpg", "", "b")
    assert to_item("b", {"modality": "text"}).pair == "b"


@pytest.mark.parametrize("made_by", [MADE_BY, PROMPTED])
def test_what_made_a_collection_comes_back_from_its_metadata(made_by):
    metadata = collection_metadata("photos", made_by, "image")
    assert provenance_of(metadata) == made_by
    assert (metadata["collection"], metadata["modality"], metadata["gapscope"]) == ("photos", "image", 1)
    assert None not in metadata.values()


def test_a_staged_collection_is_told_from_one_that_is_shown():
    staging = StagingName.new("photos")
    staged, shown = (collection_metadata(name, MADE_BY, "image") for name in (staging, "photos"))
    assert is_staged(staged) and not is_staged(shown)
    swapped = {**staged, "gapscope": 1, "collection": "photos"}
    assert made_as(swapped, staging) and not is_staged(swapped)
    assert not made_as(swapped, StagingName.new("photos"))
    assert not made_as(shown, staging) and not made_as(None, staging)
    names = {chroma_name(name, kind) for name in (staging, "photos") for kind in ("text", "image")}
    assert len(names | {old_name(staging, "text"), old_name(staging, "image")}) == 6


def test_a_distance_is_a_cosine_even_where_rounding_leaves_the_range():
    assert [similarity(far) for far in (0.0, 0.25, 1.0, 2.0)] == [1.0, 0.75, 0.0, -1.0]
    assert (similarity(-1e-7), similarity(2.0000002)) == (1.0, -1.0)
