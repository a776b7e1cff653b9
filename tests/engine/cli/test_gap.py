"""`gap`: its sentences, its JSON with every measure, edits before and after, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from engine.analysis.gap import l2m, rmg, unit
from engine.cli.gap import gap_document
from engine.jobs import map_computations
from engine.maps.drawn import DrawnMap
from engine.maps.projection import ProjectionSettings
from engine.report.gap_page import to_html
from engine.report.gap_report import gap_report
from engine.settings import load_settings
from engine.workspace import Workspace
from tests.helpers.command_line import document, error_line
from tests.helpers.data import generated_photos, real_photos, sources
from tests.helpers.vector_files import save
from tests.helpers.workspaces import make_settings


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, models_dir, cli):
    """Return a data folder with 12 captioned pictures in 'some'."""
    folder = make_settings(tmp_path_factory.mktemp("data"), models_dir).data_dir
    photos = generated_photos(tmp_path_factory.mktemp("in"), 12)
    assert cli(folder, "ingest", photos, "--collection", "some").returncode == 0
    return folder


def test_the_gap_is_what_the_vectors_say(data_dir, cli):
    done = cli(data_dir, "gap", "--collection", "some", "--k", 5, "--json")
    found = json.loads(done.stdout)
    assert set(found) == {"collection", "model", "counts", "pairs"}
    assert (found["model"], found["counts"]) == ("pocket", {"text": 12, "image": 12})
    [pair] = found["pairs"]
    assert (pair["a"], pair["b"], pair["pairs"], pair["k"]) == ("text", "image", 12, 5)
    assert 0 < pair["l2m"] < 2 and 0 < pair["rmg"] < 1 and pair["null"]["p"] >= 1 / 201
    said = cli(data_dir, "gap", "--collection", "some")
    assert f"{pair['l2m']:.4f}" in said.stdout and "seed 0" in said.stdout


def test_the_numbers_come_from_the_stored_vectors(shared):
    [pair] = gap_document(shared, "photos", k=15, seed=0)["pairs"]
    texts, pictures = (shared.store.vectors("photos", one) for one in ("text", "image"))
    pair_of = {item.id: item.pair for item in shared.store.all_items("photos", "text")}
    own = pictures.take(pair_of[id_] for id_ in texts.ids)
    assert pair["l2m"] == pytest.approx(l2m(unit(texts.vectors), unit(pictures.vectors)))
    assert pair["rmg"] == pytest.approx(rmg(unit(texts.vectors), unit(own.vectors)))


def test_the_command_tells_the_numbers_of_the_map_page(workspace, tmp_path):
    photos = real_photos(tmp_path, 12)
    workspace.ingest("some", sources([photos, generated_photos(tmp_path / "more", 9)]))
    content = workspace.maps.content_of("some")
    found = workspace.maps.fit(content, ProjectionSettings(method="pca"))
    task = map_computations.gaps_of(workspace, DrawnMap.of(found, content.columns), 15, 0)
    [on_the_page] = task.compute(lambda share: None, lambda: False)
    told = gap_document(workspace, "some", k=15, seed=0)
    assert told["pairs"] == [asdict(on_the_page)]
    assert (on_the_page.a, on_the_page.b, on_the_page.pairs) == ("text", "image", 21)
    assert told["counts"] == {"text": on_the_page.n_a, "image": on_the_page.n_b}


def test_one_modality_has_no_gap_and_an_emptied_collection_none_either(workspace, tmp_path):
    workspace.ingest("some", sources([real_photos(tmp_path, 2)]))
    ids = {one: workspace.store.vectors("some", one).ids for one in ("text", "image")}
    workspace.delete_items("some", ids["image"])
    told = gap_document(workspace, "some", k=15, seed=0)
    assert (told["counts"], told["pairs"]) == ({"text": 2, "image": 0}, [])
    workspace.delete_items("some", ids["text"])
    told = gap_document(workspace, "some", k=15, seed=0)
    assert (told["counts"], told["pairs"]) == ({"text": 0, "image": 0}, [])


def imported(cli, folder, path, rows: dict[str, np.ndarray], *, paired: bool = True) -> None:
    """Import vectors of each modality into 'own', row i of one with row i of the others."""
    names = [f"{one} {n}" for one, vectors in rows.items() for n in range(len(vectors))]
    columns = {
        "id": names,
        "vector": np.concatenate(list(rows.values())).astype(np.float32),
        "modality": [name.split()[0] for name in names],
        "text": names,
    }
    if paired:
        columns["pair"] = [name.split()[1] for name in names]
    done = cli(folder, "import", save(path / "own.npz", columns), "--collection", "own")
    assert done.returncode == 0, done.stderr


def test_every_measure_is_in_the_json_with_its_intervals(data_dir, cli):
    [pair] = document(cli(data_dir, "gap", "--collection", "some", "--temperature", 0.07, "--json"))["pairs"]
    assert {"cone_a", "uniformity_b", "top_dims", "pc1_agreement", "hubs_a_to_b", "null_swap"} <= set(pair)
    assert pair["of_pairs"]["temperature"] == 0.07
    assert set(pair["of_pairs"]["a_to_b"]["hits"]) == {"1", "5", "10"}
    for name in ("l2m", "rmg", "separability", "purity"):
        low, high = pair["intervals"][name]
        assert low <= pair[name] <= high
    for name in ("crowding_a", "rank_distance", "neighbour_overlap", "uniformity_across"):
        low, high = pair["intervals"][name]
        assert low <= pair["of_pairs"][name] <= high
    assert pair["null_purity"]["p"] < 0.05 and pair["null_separability"]["mean"] == 0.5
    partners = pair["of_pairs"]["null_partners"]
    assert partners["mean"] < partners["high"] < 1 and 1 / 201 <= partners["p"] <= 1
    assert pair["absent"] == {"intervals.loss": "it needs 5 batches of 12 pairs"}
    assert (pair["notes"], pair["resamples"], pair["permutations"]) == ([], 500, 200)


def test_the_sentences_carry_the_numbers_of_the_json(data_dir, cli):
    [pair] = document(cli(data_dir, "gap", "--collection", "some", "--json"))["pairs"]
    said = cli(data_dir, "gap", "--collection", "some").stdout
    of_pairs = pair["of_pairs"]
    for value in (
        *(pair["rmg"], pair["separability"], pair["purity"], pair["cone_a"], of_pairs["loss"]),
        *(of_pairs["rmg_shuffled"], *pair["intervals"]["purity"], *pair["intervals"]["crowding_b"]),
    ):
        assert f"{value:.4f}" in said
    first = of_pairs["b_to_a"]["hits"]["1"]
    assert f"image asks for text: the right one is first for {first['mean']:.1%}" in said
    assert f"95% of 500 resamples {pair['intervals']['l2m'][0]:.4f}" in said
    assert "p = 0.005" in said and "not measured" not in said


def test_an_edit_reports_held_out_items_before_and_after(data_dir, cli):
    plain = document(cli(data_dir, "gap", "--collection", "some", "--json"))
    edited = document(cli(data_dir, "gap", "--collection", "some", "--edit", "centre", "--json"))
    [change] = edited.pop("edits")
    assert edited == plain  # what is measured of all items is what it was
    assert (change["edit"], change["fitted_a"], change["before"]["n_a"]) == ("centre", 6, 6)
    assert change["after"]["l2m"] < change["before"]["l2m"]
    said = cli(data_dir, "gap", "--collection", "some", "--edit", "shift", "--delta", "-0.5").stdout
    assert "text and image after the edit shift by -0.5: fitted on 6 + 6 items, measured on 6 + 6" in said
    assert "  R@1 text to image " in said and f"  L2M {change['before']['l2m']:.4f} -> " in said


def test_imported_vectors_without_pairs_say_what_is_missing(cli, tmp_path, models_dir):
    folder = make_settings(tmp_path / "data", models_dir).data_dir
    chance = np.random.default_rng(0)
    rows = {"text": 3 * chance.normal(size=(9, 6)) + 1, "image": chance.normal(size=(7, 6)) - 1}
    imported(cli, folder, tmp_path, rows, paired=False)
    done = cli(folder, "gap", "--collection", "own")
    assert done.returncode == 0 and "9 text, 7 image" in done.stdout
    assert "not measured: rmg, null_swap, all that compares pairs (no item of one modality" in done.stdout
    change = cli(folder, "gap", "--collection", "own", "--edit", "project-out")
    assert change.returncode == 0 and "R@1" not in change.stdout and "L2M" in change.stdout


@pytest.mark.parametrize(
    ("rows", "edit", "words"),
    [
        ({"text": np.eye(3)}, "centre", "one modality alone has no gap"),
        ({"text": np.eye(3), "image": np.eye(3)[::-1]}, None, "needs 5 items of each"),
        ({"text": np.eye(1, 3), "image": np.eye(3)}, None, "there is one text"),
        ({"text": np.eye(3), "image": np.eye(3)[::-1]}, "centre", "GapError: 3 text items are too few"),
        ({"text": np.ones((9, 4)), "image": np.ones((9, 4))}, None, "centroids are one"),
        (
            {"text": np.ones((9, 4)), "image": np.ones((9, 4))},
            "standardise",
            "GapError: The edit 'standardise'",
        ),
        ({"text": np.eye(8), "image": -np.eye(8)}, "drop-dims", "->"),
    ],
)
def test_odd_collections_get_words(cli, tmp_path, models_dir, rows, edit, words):
    folder = make_settings(tmp_path / "data", models_dir).data_dir
    imported(cli, folder, tmp_path, rows)
    done = cli(folder, "gap", "--collection", "own", *(("--edit", edit) if edit else ()))
    said = error_line(done) if words.startswith("GapError") else done.stdout
    assert words in said and "Traceback" not in done.stderr and "Warning" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("--collection", "nothing"), 1, "CollectionNotFoundError"),
        (("--collection", "some", "--k", "0"), 2, "--k"),
        (("--collection", "some", "--seed", "-1"), 2, "--seed"),
        (("--collection", "some", "--temperature", "0"), 1, "more than 0"),
        (("--collection", "some", "--edit", "whiten"), 2, "project-out"),
        (("--collection", "some", "--edit", "drop-dims", "--dims", "384"), 1, "1 to 383"),
        (("--collection", "some", "--edit", "shift", "--delta", "nan"), 1, "finite"),
    ],
)
def test_what_cannot_be_is_refused(data_dir, cli, arguments, status, says):
    done = cli(data_dir, "gap", *arguments)
    assert done.returncode == status and says in done.stderr and "Traceback" not in done.stderr


def test_the_report_is_the_page_that_the_engine_writes(data_dir, cli, tmp_path):
    file = tmp_path / "gap.html"
    done = cli(data_dir, "gap", "--collection", "some", "--k", 5, "--report", file, "--json")
    assert done.returncode == 0 and "the report is in" in done.stderr
    [pair] = json.loads(done.stdout)["pairs"]
    workspace = Workspace.open(load_settings(data_dir=data_dir))
    found = gap_report(workspace.folder, "some", k=5)
    workspace.close()
    assert file.read_text("utf-8") == to_html(found)
    assert f"{pair['l2m']:.4f}" in to_html(found)


def test_a_report_that_cannot_be_written_or_is_no_page_is_refused(data_dir, cli, tmp_path):
    told = cli(data_dir, "gap", "--collection", "some", "--report", tmp_path / "gap.pdf")
    assert told.returncode == 2 and "ends in .html" in told.stderr
    told = cli(data_dir, "gap", "--collection", "some", "--report", tmp_path / "no" / "gap.html")
    assert told.returncode == 1 and "cannot be written" in error_line(told)
