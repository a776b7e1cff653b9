"""The command line keeps its word: one JSON document, exit 0, 1 or 2, one line per error."""

from __future__ import annotations

import os
import time

import pytest

from tests.helpers.command_line import document, error_line, run_apart
from tests.helpers.data import generated_photos
from tests.helpers.workspaces import make_settings

MODELS = {"id", "kind", "modalities", "dim", "parameters", "memory_gb", "runnable", "reason"}


@pytest.mark.slow
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
    assert done.returncode == 0 and done.stdout.strip(), done
    # The first question after a write may have to wait, and is told for what.
    assert done.stderr == "" or done.stderr.startswith("Measuring how unrelated questions score here"), done


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


@pytest.mark.slow
def test_exit_statuses_of_a_real_process(data_dir):
    line = error_line(run_apart(data_dir, "search", "x", "--collection", "nothing", "--json"))
    assert line.startswith("CollectionNotFoundError: ")
    done = run_apart(data_dir, "search", "--collection", "photos")
    assert done.returncode == 2 and done.stdout == "" and "exactly one of" in done.stderr


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


def test_help_lists_every_command_with_what_it_does(data_dir, cli):
    said = cli(data_dir, "--help")
    assert said.returncode == 0 and said.stderr == ""
    lines = said.stdout.split("Commands:\n")[1].splitlines()
    names = [line.split()[0] for line in lines]
    assert names[:4] == ["doctor", "models", "download", "ingest"] and names[-1] == "towers"
    assert "reembed" in names and "remake" not in names and len(names) == 16
    assert all(len(line.split()) > 5 for line in lines)
