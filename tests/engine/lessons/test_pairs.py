"""The pairs that lessons take: the right ones, with their own vectors, and words where there are too few."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import GapError
from engine.lessons.histograms import four_histograms
from engine.lessons.pairs import Pairs, read_pairs
from engine.lessons.picture import form_of, gap_numbers, places_of
from engine.progress import Watch
from tests.helpers.data import real_photos, sources


@pytest.fixture(scope="module")
def filled(tmp_path_factory, models_dir, pocket):
    from engine.workspace import Workspace
    from tests.helpers.workspaces import give_model, make_settings

    root = tmp_path_factory.mktemp("pairs")
    opened = Workspace.open(make_settings(root / "data", models_dir))
    give_model(opened, pocket)
    opened.ingest("photos", sources([real_photos(root / "in", 12)]))
    opened.ingest("few", sources([real_photos(root / "two", 2)]))
    yield opened.folder
    opened.close()


def drawn(n: int = 40, dim: int = 16, apart: float = 2.0) -> Pairs:
    """Return pairs with a gap of our own making."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(n, dim))
    shared[:, 0] = 0
    sides = []
    for way in (1, -1):
        rows = shared + rng.normal(size=(n, dim)) * 0.1
        rows[:, 0] += way * apart
        sides.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    ids = tuple(f"{row}" for row in range(n))
    return Pairs("drawn", "none", "image", "text", ids, ids, *sides, there=n, seed=0)


def test_every_row_is_that_of_its_pair(filled):
    found = read_pairs(filled, "photos")
    items = {item.id: item for kind in ("image", "text") for item in filled.store.all_items("photos", kind)}
    assert len(found) == found.there == 12
    for picture, text in zip(found.ids_x, found.ids_y, strict=True):
        assert items[picture].modality == "image" and items[text].modality == "text"
        assert items[picture].pair == items[text].pair
    for ids, rows, kind in ((found.ids_x, found.x, "image"), (found.ids_y, found.y, "text")):
        table = filled.store.vectors("photos", kind)
        stored = dict(zip(table.ids, table.vectors, strict=True))
        assert np.allclose(rows, [stored[id_] for id_ in ids], atol=1e-6)
    assert len(read_pairs(filled, "photos", most=5)) == 5
    fitted, measured = found.halves()
    assert len(fitted) == len(measured) == 6 and not set(fitted.ids_x) & set(measured.ids_x)


def test_too_few_pairs_are_said(filled):
    with pytest.raises(GapError, match="2 pairs of pictures and texts, and this needs 4"):
        read_pairs(filled, "few")
    with pytest.raises(GapError, match="0 pairs of sounds and texts"):
        read_pairs(filled, "photos", a="audio")


def test_four_histograms_are_those_of_a_plain_loop():
    pairs = drawn(12)
    four, n = four_histograms(pairs), len(pairs)
    across = [float(pairs.x[i] @ pairs.y[j]) for i in range(n) for j in range(n) if i != j]
    within = [float(pairs.x[i] @ pairs.x[j]) for i in range(n) for j in range(n) if i != j]
    own = [float(pairs.x[i] @ pairs.y[i]) for i in range(n)]
    assert four.unpaired.mean == pytest.approx(np.mean(across))
    assert four.within_a.median == pytest.approx(np.median(within))
    assert four.paired.counts.sum() == n and four.unpaired.counts.sum() == n * (n - 1)
    assert four.beaten == pytest.approx(np.mean([a > b for a in within for b in own]))
    assert four.auc == pytest.approx(np.mean([a > b for a in own for b in across]))


def test_numbers_and_places_show_a_gap_and_none():
    apart, mixed = drawn(), drawn(apart=0.0)
    assert gap_numbers(apart).form == "two islands" and gap_numbers(mixed).form == "one mixed cloud"
    assert [form_of(share) for share in (0.0, 0.2, 0.5)] == ["two islands", "partly mixed", "one mixed cloud"]
    places = places_of(apart, "PCA along the gap", Watch())
    width = abs(places.x[:, 0].mean() - places.y[:, 0].mean())
    assert width == pytest.approx(gap_numbers(apart).l2m, abs=1e-5)  # the first axis is the gap itself
    assert places_of(drawn(4), "UMAP", Watch()).note.startswith("PCA in place of UMAP")
