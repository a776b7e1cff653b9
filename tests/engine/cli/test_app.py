"""The command line keeps its word: one JSON document, exit 0, 1 or 2, one line per error, no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.command_line import run_apart
from tests.helpers.data import ROOT, generated_photos, jpeg, real_photos, write_captions
from tests.helpers.workspaces import cli_env, make_settings

INGEST = {"collection", "model", "stored", "skipped", "failed", "seconds", "per_second"}
SEARCH = {"collection", "model", "query", "results", "timings_ms"}
RESULT = {
    "rank",
    "id",
    "modality",
    "name",
    "caption",
    "score",
    "retrieval_rank",
    "rerank_score",
    "path",
    "pair",
    "start_seconds",
}
EVALUATE = {
    *("collection", "model", "queries", "metrics", "reranked", "delta", "wins", "losses"),
    *("ties", "truth", "direction", "questions_in_all", "documents", "reranker", "rerank_top", "ceiling"),
    *("captured", "pairs", "median_ms_per_question", "seconds", "worse", "unasked"),
}
MODELS = {"id", "kind", "modalities", "dim", "parameters", "memory_gb", "runnable", "reason"}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Path:
    """Return a data folder with 12 real photographs in 'photos', ingested by a process of its own."""
    settings = make_settings(tmp_path_factory.mktemp("cli"), models_dir)
    folder = real_photos(tmp_path_factory.mktemp("photos"), 12)
    done = run_apart(settings.data_dir, "ingest", folder, "--collection", "photos", "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document) == INGEST and done.stderr == ""
    assert (document["collection"], document["model"], document["failed"]) == ("photos", "pocket", [])
    assert (document["stored"], document["skipped"]) == (24, 0)
    assert document["per_second"] == pytest.approx(24 / document["seconds"], rel=0.01)
    return settings.data_dir


def document(done: subprocess.CompletedProcess):
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return json.loads(done.stdout)


def error_line(done: subprocess.CompletedProcess) -> str:
    assert done.returncode == 1 and done.stdout == "", done
    [line] = done.stderr.splitlines()
    assert "Traceback" not in line
    return line


def test_search_by_text(data_dir):
    found = document(run_apart(data_dir, "search", "an animal", "--collection", "photos", "-k", 4, "--json"))
    assert set(found) == SEARCH and set(found["timings_ms"]) == {"embed", "retrieve", "rerank", "total"}
    assert (found["collection"], found["model"], found["query"]) == ("photos", "pocket", "an animal")
    assert [row["rank"] for row in found["results"]] == [1, 2, 3, 4]
    for row in found["results"]:
        assert set(row) == RESULT
        assert (row["path"] is None) == (row["modality"] == "text")
    assert all(Path(row["path"]).is_file() for row in found["results"] if row["path"])


def test_search_by_picture_and_by_item(data_dir, cli, tmp_path):
    picture = next(path for path in (data_dir / "media").rglob("*.jpg"))
    copy = tmp_path / "a copy.jpg"
    copy.write_bytes(picture.read_bytes())
    only = ("--collection", "photos", "--modality", "image", "-k", 3, "--json")
    by_picture = document(cli(data_dir, "search", "--image", copy, *only))
    assert by_picture["query"] == "a copy.jpg" and by_picture["results"][0]["id"] == picture.stem
    by_item = document(cli(data_dir, "search", "--like", picture.stem, *only))
    assert [row["id"] for row in by_item["results"][:2]] == [row["id"] for row in by_picture["results"][1:]]


def test_evaluate(data_dir, cli):
    arguments = ("evaluate", "--collection", "photos", "--k", 1, "--k", 12, "--json")
    measured = document(cli(data_dir, *arguments))
    assert set(measured) == EVALUATE
    assert set(measured["metrics"]) == {"hit@1", "hit@12", "recall@1", "recall@12", "mrr", "ndcg@10"}
    assert measured["queries"] == 12 and measured["metrics"]["recall@12"] == 1
    assert measured["reranked"] is measured["delta"] is measured["wins"] is measured["losses"] is None


@pytest.mark.slow
def test_evaluate_with_a_reranker_writes_its_files(data_dir, cli, tmp_path):
    csv, export = tmp_path / "q.csv", tmp_path / "all.zip"
    asked = ("evaluate", "--collection", "photos", "--rerank", "pocket-reranker", "--rerank-top", 4)
    measured = document(cli(data_dir, *asked, "--limit", 5, "--csv", csv, "--export", export, "--json"))
    assert set(measured) == EVALUATE
    assert (measured["queries"], measured["questions_in_all"], measured["pairs"]["scored"]) == (5, 12, 20)
    assert measured["reranked"].keys() == measured["metrics"].keys() == measured["delta"].keys()
    assert measured["wins"] + measured["ties"] + measured["losses"] == 5
    assert len(csv.read_text().splitlines()) == 6 and export.read_bytes()[:2] == b"PK"
    said = cli(data_dir, *asked, "--limit", 5)
    assert "reranked: the first 4 by pocket-reranker" in said.stdout and "ceiling: hit@4" in said.stdout


@pytest.mark.slow
def test_a_hub_model_makes_a_collection_and_a_reranker_reorders_it(cli, tiny, tmp_path):
    data_dir, folder = tmp_path / "data", generated_photos(tmp_path / "in", 4)
    made = document(
        cli(data_dir, "ingest", folder, "--collection", "tiny", "--model", tiny("qwen_embedder"), "--json")
    )
    assert made["stored"] == 8 and made["model"] == str(tiny("qwen_embedder")) and made["failed"] == []
    reranked = ("--rerank", tiny("qwen_reranker"), "--rerank-top", 5, "-k", 8, "--json")
    found = document(cli(data_dir, "search", "picture number 2", "--collection", "tiny", *reranked))
    scores = [row["rerank_score"] for row in found["results"]]
    assert len(scores) == 8 and scores[5:] == [None] * 3
    assert scores[:5] == sorted(scores[:5], reverse=True)
    assert found["timings_ms"]["rerank"] > 0
    refused = cli(data_dir, "search", "x", "--collection", "tiny", "--rerank", tiny("clip"))
    assert refused.returncode == 1 and refused.stderr.startswith("ModelKindError: ")


def test_a_download_that_cannot_be_is_one_line_and_quick(data_dir):
    started = time.monotonic()
    line = error_line(
        run_apart(data_dir, "download", "Qwen/Qwen3-VL-Embedding-2B", HF_ENDPOINT="http://127.0.0.1:9")
    )
    assert line.startswith("HubError: ") and "does not answer" in line and "Traceback" not in line
    assert time.monotonic() - started < 60  # not the minutes that the libraries retry for


def test_models(data_dir, cli):
    rows = document(cli(data_dir, "models", "--json"))
    assert all(set(row) == MODELS for row in rows)
    [pocket] = [row for row in rows if row["id"] == "pocket"]
    assert pocket["dim"] == 384 and {"text", "image"} <= set(pocket["modalities"]) and pocket["runnable"]


def test_collections(data_dir, cli):
    [row] = document(cli(data_dir, "collections", "--json"))
    assert row["collection"] == "photos" and row["model"] == "pocket" and row["dim"] == 384
    assert row["counts"] == {"text": 12, "image": 12}


@pytest.mark.parametrize(
    "arguments",
    [
        ("models",),
        ("collections",),
        ("search", "a dog", "--collection", "photos"),
        ("evaluate", "--collection", "photos"),
        ("doctor",),
        ("judgements", "--collection", "photos"),
    ],
)
def test_without_json_it_is_read_by_people(data_dir, cli, arguments):
    done = cli(data_dir, *arguments)
    assert done.returncode == 0 and done.stdout.strip() and done.stderr == "", done


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("search", "x", "--collection", "nothing"), "CollectionNotFoundError", "photos"),
        (("evaluate", "--collection", "nothing"), "CollectionNotFoundError", "photos"),
        (("evaluate", "--collection", "photos", "--csv", "/no/such"), "EvaluationError", "/no/such"),
        (("evaluate", "--collection", "photos", "--truth", "judgements"), "EvaluationError", "judgements"),
        (("delete", "--collection", "nothing", "--yes"), "CollectionNotFoundError", "photos"),
        (("judgements", "--collection", "nothing"), "CollectionNotFoundError", "photos"),
        (("judgements", "--collection", "photos", "--qrels", "/no/such"), "TrecError", "/no/such"),
        (("judgements", "--collection", "photos", "--qrels", __file__), "TrecError", "line 1: it has"),
        (("judgements", "--collection", "photos", "--run", __file__), "JudgementError", "--qrels"),
        (("judgements", "--collection", "photos", "--export", "/no/such"), "JudgementError", "/no/such"),
        (("search", "x", "--collection", "no spaces"), "CollectionNameError", "no-spaces"),
        (("search", "x", "--collection", "photos", "-k", "0"), "QueryError", "1 to 1,000"),
        (("search", " ", "--collection", "photos"), "QueryError", "nothing to search for"),
        (("search", "--like", "f" * 64, "--collection", "photos"), "QueryError", "no item"),
        (("search", "--image", "/no/such.jpg", "--collection", "photos"), "QueryError", "/no/such.jpg"),
        (("search", "--image", __file__, "--collection", "photos"), "QueryError", "test_app.py"),
        (("search", "--image", "/proc", "--collection", "photos"), "QueryError", "/proc"),
        (
            ("ingest", "/x", "--collection", "photos", "--model", "gpt"),
            "NotDownloadedError",
            "-transformers/gpt",
        ),
        (("ingest", "/x", "--collection", "a/b"), "CollectionNameError", "a-b"),
        (("import", "/x", "--collection", "a/b"), "CollectionNameError", "a-b"),
        (("import", "/no/such.npz", "--collection", "new"), "VectorFileError", "such.npz: there is no such"),
        (("import", __file__, "--collection", "new"), "VectorFileError", "neither Parquet nor NPZ"),
        (("export", "--collection", "nothing", "--out", "/x.npz"), "CollectionNotFoundError", "photos"),
        (("export", "--collection", "photos", "--out", "/no/such/x.npz"), "VectorFileError", "be written"),
    ],
)
def test_named_errors_are_one_line_and_exit_1(data_dir, cli, arguments, error, says):
    line = error_line(cli(data_dir, *arguments, *(() if arguments[0] == "delete" else ("--json",))))
    assert line.startswith(f"{error}: ") and says in line


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("GAPSCOPE_THREADS", "many"),
        ("GAPSCOPE_NO_SUCH_SETTING", "1"),
        ("GAPSCOPE_CHROMA_URL", "http://127.0.0.1:9"),
        ("GAPSCOPE_DATA_DIR", "/dev/null/data"),
    ],
)
def test_bad_settings_are_one_line(data_dir, cli, key, value):
    line = error_line(cli(data_dir, "collections", "--json", **{key: value}))
    assert value in line and "GAPSCOPE_" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("search", "--collection", "photos"),
        ("search", "x", "--like", "y", "--collection", "photos"),
        ("search", "x"),
        ("search", "x", "--collection", "photos", "--modality", "smell"),
        ("search", "x", "--collection", "photos", "-k", "ten"),
        ("delete", "--collection", "photos"),
        ("evaluate", "--collection", "photos", "--k", "0"),
        ("evaluate", "--collection", "photos", "--truth", "belief"),
        ("evaluate", "--collection", "photos", "--direction", "text-smell"),
        ("evaluate", "--collection", "photos", "--rerank-top", "0"),
        ("evaluate", "--collection", "photos", "--limit", "0"),
        ("ingest", "--collection", "photos"),
        ("import", "--collection", "photos"),
        ("import", "x.npz"),
        ("import", "x.npz", "--collection", "photos", "--model-label", " "),
        ("export", "--collection", "photos"),
        ("export", "--collection", "photos", "--out", "x.csv"),
        ("judgements",),
        ("judgements", "--collection", "photos", "--topics", "x"),
        ("judgements", "--collection", "photos", "--skip-unknown"),
    ],
)
def test_wrong_usage_exits_2(data_dir, cli, arguments):
    done = cli(data_dir, *arguments)
    assert done.returncode == 2 and done.stdout == "" and "Traceback" not in done.stderr


def test_exit_statuses_of_a_real_process(data_dir):
    line = error_line(run_apart(data_dir, "search", "x", "--collection", "nothing", "--json"))
    assert line.startswith("CollectionNotFoundError: ")
    done = run_apart(data_dir, "search", "--collection", "photos")
    assert done.returncode == 2 and done.stdout == "" and "exactly one of" in done.stderr


def test_missing_and_broken_files_are_listed(data_dir, cli, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff" + b"junk" * 50)
    (tmp_path / "good.jpg").write_bytes(jpeg(77))
    paths = (tmp_path / "broken.jpg", tmp_path / "good.jpg", tmp_path / "missing.jpg")
    report = document(cli(data_dir, "ingest", *paths, "--collection", "mixed", "--json"))
    assert report["stored"] == 1
    reasons = {row["name"]: row["reason"] for row in report["failed"]}
    assert set(reasons) == {"broken.jpg", "missing.jpg"} and all(reasons.values())
    cli(data_dir, "delete", "--collection", "mixed", "--yes")


HOSTILE = (
    "<img src=x onerror=alert(1)>.jpg",
    "photo\u202egpj.exe.jpg",
    "n" * 240 + ".jpg",
    "🦊 émoji.jpg",
    "two\nlines.jpg",
    "tab\tand \x1b[31mred.jpg",
)


def test_hostile_names_stay_plain_text(cli, tmp_path, models_dir):
    data_dir = make_settings(tmp_path / "data", models_dir).data_dir
    folder = tmp_path / "in"
    folder.mkdir()
    for seed, name in enumerate(HOSTILE):
        (folder / name).write_bytes(jpeg(seed))
    write_captions(folder, [{"file_name": name, "caption": f"cap {name}"} for name in HOSTILE])
    report = document(cli(data_dir, "ingest", folder, "--collection", "odd", "--json"))
    assert report["stored"] == 2 * len(HOSTILE) and report["failed"] == []
    asked = ("search", "x", "--collection", "odd", "-k", 50)
    found = document(run_apart(data_dir, *asked, "--json", LC_ALL="C"))
    names = {row["name"] for row in found["results"]}
    assert len(names) == len(HOSTILE)
    assert "<img src=x onerror=alert(1)>.jpg" in names and "🦊 émoji.jpg" in names
    assert all(name.isprintable() and len(name) <= 200 for name in names)
    plain = run_apart(data_dir, *asked, PYTHONIOENCODING="ascii")
    assert plain.returncode == 0 and "\x1b" not in plain.stdout and "\u202e" not in plain.stdout


def test_judgements_come_and_go_and_measure_a_run(cli, tmp_path, models_dir):
    data_dir = make_settings(tmp_path / "data", models_dir).data_dir
    document(cli(data_dir, "ingest", generated_photos(tmp_path / "in", 3), "--collection", "some", "--json"))
    asked = ("judgements", "--collection", "some", "--json")
    assert document(cli(data_dir, *asked)) == {
        **{"collection": "some", "questions": 0, "judgements": 0, "right": 0, "wrong": 0},
        **{"imported": None, "exported": None, "run": None},
    }
    qrels, topics, run, out = (tmp_path / name for name in ("qrels", "topics", "run", "out.zip"))
    qrels.write_text("1 0 0000.jpg 1\n1 0 0001.jpg 0\n2 0 0002.jpg 1\n2 0 gone.jpg 1\n")
    topics.write_text("1\ta question\n2\tanother one\n")
    run.write_text("1 Q0 0001.jpg 1 0.9 t\n1 Q0 0000.jpg 2 0.8 t\n")
    given = ("--qrels", qrels, "--topics", topics)
    assert "line 4: there is no item" in error_line(cli(data_dir, *asked, *given))
    done = document(cli(data_dir, *asked, *given, "--skip-unknown", "--run", run, "--export", out))
    assert (done["questions"], done["judgements"], done["right"], done["wrong"]) == (2, 3, 2, 1)
    assert (done["imported"]["stored"], done["imported"]["left_out"]) == (3, 1)
    assert done["imported"]["faults"] == [{"line": 4, "reason": "there is no item “gone.jpg”"}]
    assert (done["run"]["queries"], done["run"]["unanswered"]) == (2, 1)
    assert done["run"]["metrics"]["mrr"] == 0.25 and done["run"]["metrics"]["hit@5"] == 0.5
    again = document(cli(data_dir, *asked, "--qrels", out))
    assert again["imported"]["stored"] == 3 and again["judgements"] == 3
    said = cli(data_dir, *asked[:-1], "--qrels", qrels, "--topics", topics, "--skip-unknown", "--run", run)
    assert "line 4 left out: there is no item" in said.stdout and "mrr  0.250" in said.stdout


def test_vectors_go_out_and_come_in(data_dir, cli, tmp_path):
    out, bad = tmp_path / "photos.parquet", tmp_path / "bad.npz"
    done = document(cli(data_dir, "export", "--collection", "photos", "--out", str(out), "--json"))
    assert (done["rows"], done["dim"], done["unrecorded"], done["path"]) == (24, 384, 0, str(out))
    taken = ("import", str(out), "--collection", "taken", "--model-label", "another program")
    report = document(cli(data_dir, *taken, "--json"))
    assert set(report) == INGEST and (report["stored"], report["failed"]) == (24, [])
    assert report["model"] == "imported: another program"
    said = cli(data_dir, *taken)
    assert said.stdout.startswith("0 vectors stored, 24 were there, 0 left out") and said.returncode == 0
    line = error_line(cli(data_dir, "search", "a dog", "--collection", "taken", "--json"))
    assert line.startswith("ImportedVectorsError: ") and "imported vectors (another program)" in line
    measured = document(cli(data_dir, "evaluate", "--collection", "taken", "--json"))
    direct = document(cli(data_dir, "evaluate", "--collection", "photos", "--json"))
    assert measured["queries"] == 12 and measured["metrics"] == pytest.approx(direct["metrics"], abs=0.1)
    np.savez(bad, id=["a", "b"], vector=np.array([[1.0] * 384, [0.0] * 384]), modality=["text", "text"])
    line = error_line(cli(data_dir, "import", str(bad), "--collection", "taken", "--json"))
    assert line.startswith("VectorFileError: bad.npz: 1 row is bad of 2") and "row 2, column vector" in line
    report = document(cli(data_dir, "import", str(bad), "--collection", "taken", "--skip-bad", "--json"))
    assert report["stored"] == 1 and [one["name"] for one in report["failed"]] == ["bad.npz, row 2"]
    said = cli(data_dir, "export", "--collection", "taken", "--out", str(tmp_path / "taken.npz"))
    assert said.stdout.startswith("25 vectors of 384 numbers written to ") and said.stderr == ""
    assert cli(data_dir, "delete", "--collection", "taken", "--yes").returncode == 0


def test_delete_needs_yes_and_deletes(cli, tmp_path, models_dir):
    data_dir = make_settings(tmp_path / "data", models_dir).data_dir
    folder = generated_photos(tmp_path / "in", 2)
    assert document(cli(data_dir, "ingest", folder, "--collection", "gone", "--json"))["stored"] == 4
    assert cli(data_dir, "delete", "--collection", "gone").returncode == 2
    assert [row["collection"] for row in document(cli(data_dir, "collections", "--json"))] == ["gone"]
    assert cli(data_dir, "delete", "--collection", "gone", "--yes").returncode == 0
    assert document(cli(data_dir, "collections", "--json")) == []


def test_a_locked_store_is_one_line_and_names_its_owner(workspace):
    line = error_line(run_apart(workspace.settings.data_dir, "collections", "--json"))
    assert line.startswith("StoreLockedError: ") and f"process {os.getpid()}" in line


def test_a_cold_search_loads_neither_torch_nor_umap(data_dir):
    code = (
        "import sys\nfrom engine.cli.app import main\n"
        "sys.argv = ['engine', 'search', 'a dog', '--collection', 'photos', '--json']\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code, done.code\n"
        "print(' '.join(sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=cli_env(data_dir), capture_output=True, text=True
    )
    assert done.returncode == 0 and json.loads(done.stdout)["results"]
    heavy = {"torch", "torchvision", "transformers", "sentence_transformers", "umap", "numba", "streamlit"}
    assert heavy & set(done.stderr.split()) == set()
