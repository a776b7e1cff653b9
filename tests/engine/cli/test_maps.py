"""`project` and `gap`: their files, their JSON, and what they refuse."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict

import numpy as np
import pyarrow.parquet
import pytest

from engine.analysis.gap import l2m, rmg, unit
from engine.cli.gap import gap_document
from engine.jobs import map_computations
from engine.maps.drawn import DrawnMap
from engine.maps.projection import ProjectionSettings
from tests.helpers.data import generated_photos, real_photos, sources
from tests.helpers.workspaces import make_settings

PCA = ("--method", "pca")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, models_dir, cli):
    """Return a data folder with 12 captioned pictures in 'some'."""
    folder = make_settings(tmp_path_factory.mktemp("data"), models_dir).data_dir
    photos = generated_photos(tmp_path_factory.mktemp("in"), 12)
    assert cli(folder, "ingest", photos, "--collection", "some").returncode == 0
    return folder


def test_a_map_goes_into_every_kind_of_file_and_is_the_same_in_all(data_dir, cli, tmp_path):
    for suffix in (".csv", ".parquet", ".npz"):
        done = cli(data_dir, "project", "--collection", "some", "--out", tmp_path / f"map{suffix}", *PCA)
        assert done.returncode == 0, done.stderr
        assert "24 items by pca ->" in done.stdout
    with (tmp_path / "map.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    table = pyarrow.parquet.read_table(tmp_path / "map.parquet").to_pydict()
    with np.load(tmp_path / "map.npz") as arrays:
        assert list(rows[0]) == list(table) == list(arrays) == ["id", "modality", "x", "y", "placed"]
        assert arrays["x"].tolist() == table["x"] == [float(row["x"]) for row in rows]
        assert arrays["id"].tolist() == table["id"] == [row["id"] for row in rows]


def test_few_items_are_told_to_be_shown_by_pca(data_dir, cli, tmp_path, models_dir):
    folder = make_settings(tmp_path / "few", models_dir).data_dir
    cli(folder, "ingest", generated_photos(tmp_path / "in", 2), "--collection", "few")
    done = cli(folder, "project", "--collection", "few", "--out", tmp_path / "map.csv", "--dims", 3)
    assert "4 items by pca" in done.stdout and "PCA in place of UMAP" in done.stdout
    assert "x,y,z" in (tmp_path / "map.csv").read_text()


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
    document = gap_document(workspace, "some", k=15, seed=0)
    assert document["pairs"] == [asdict(on_the_page)]
    assert (on_the_page.a, on_the_page.b, on_the_page.pairs) == ("text", "image", 21)
    assert document["counts"] == {"text": on_the_page.n_a, "image": on_the_page.n_b}


def test_one_modality_has_no_gap_and_an_emptied_collection_none_either(workspace, tmp_path):
    workspace.ingest("some", sources([real_photos(tmp_path, 2)]))
    ids = {one: workspace.store.vectors("some", one).ids for one in ("text", "image")}
    workspace.delete_items("some", ids["image"])
    document = gap_document(workspace, "some", k=15, seed=0)
    assert (document["counts"], document["pairs"]) == ({"text": 2, "image": 0}, [])
    workspace.delete_items("some", ids["text"])
    document = gap_document(workspace, "some", k=15, seed=0)
    assert (document["counts"], document["pairs"]) == ({"text": 0, "image": 0}, [])


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("project", "--collection", "nothing", "--out", "x.csv"), 1, "CollectionNotFoundError"),
        (("project", "--collection", "some", "--out", "/no/such/x.csv", *PCA), 1, "cannot be written"),
        (("project", "--collection", "some", "--out", "x.xlsx"), 2, ".parquet"),
        (("project", "--collection", "some", "--out", "x.csv", "--method", "tsne"), 2, "umap or pca"),
        (("project", "--collection", "some", "--out", "x.csv", "--dims", "4"), 2, "2 or 3"),
        (("project", "--collection", "some", "--out", "x.csv", "--fit-on", "video"), 1, "no video to fit"),
        (("gap", "--collection", "nothing"), 1, "CollectionNotFoundError"),
        (("gap", "--collection", "some", "--k", "0"), 2, "--k"),
    ],
)
def test_what_cannot_be_is_refused(data_dir, cli, arguments, status, says):
    done = cli(data_dir, *arguments)
    assert done.returncode == status and says in done.stderr and "Traceback" not in done.stderr
