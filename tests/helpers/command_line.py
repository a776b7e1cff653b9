"""The command line on a data folder: in this process, which costs no start, or in one of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from engine.cli.app import main
from engine.models.load import Loader
from engine.models.pocket.embedder import Pocket
from tests.helpers.data import ROOT
from tests.helpers.workspaces import cli_env, loaded_once

Done = subprocess.CompletedProcess
# what ingest, reembed and import tell
INGEST = {"collection", "model", "stored", "skipped", "failed", "seconds", "per_second"}
INGEST |= {"failed_count", "failed_kinds", "left_out", "notes"}


def run_here(pocket: Pocket, data_dir: Path, *arguments: object, **env: str) -> Done:
    """Run a command in this process with a Pocket that is loaded already; `env` are settings of ours."""
    assert all(key.startswith("GAPSCOPE_") for key in env), "libraries read theirs when they are imported"
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    code: object = 0
    with (
        chdir(ROOT),
        mock.patch.dict(os.environ, cli_env(data_dir, **env), clear=True),
        mock.patch.object(sys, "argv", ["engine", *map(str, arguments)]),
        mock.patch.object(Loader, "_load_pocket", loaded_once(pocket, (data_dir / "models").resolve())),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as done:
            code = done.code or 0
    return Done(arguments, code, *(stream.buffer.getvalue().decode() for stream in (out, err)))


def run_apart(data_dir: Path, *arguments: object, seconds: float = 280, **env: str) -> Done:
    """Run a command as `python -m engine ...`, a process of its own that has so many seconds."""
    return subprocess.run(
        [sys.executable, "-m", "engine", *map(str, arguments)],
        cwd=ROOT,
        env=cli_env(data_dir, **env),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=seconds,
    )


def document(done: Done) -> Any:
    """Return what a command that succeeded wrote with --json; else it says at most what it waits for."""
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if not line.startswith("Measuring how")] == []
    return json.loads(done.stdout)


def error_line(done: Done) -> str:
    """Return the one line of a command that failed with a named error."""
    assert done.returncode == 1 and done.stdout == "", done
    [line] = done.stderr.splitlines()
    assert "Traceback" not in line
    return line
