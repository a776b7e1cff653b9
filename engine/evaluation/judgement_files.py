"""The files of judgements and questions: a qrels file, a zip exported here, folders and zips of BEIR.

Opens them and tells which is which; what their lines say: `trec.py`, `named_columns.py`.
"""

from __future__ import annotations

import lzma
import posixpath
import re
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, TypeGuard, cast

from engine.errors import TrecError
from engine.evaluation.trec import shown

Lines = Iterable[bytes | str] | IO[bytes]
QRELS_FILE, TOPICS_FILE = "qrels.txt", "topics.tsv"
MAX_MEMBER_BYTES = 200_000_000
_BROKEN_ZIP = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError),
    *(OSError, ValueError),  # a damaged bzip2 member, a name that is no UTF-8
)
_ENCRYPTED = 1  # a bit of a zip member's flags
_QRELS = re.compile(r"(?:^|/)qrels/[^/]+\.(?:tsv|jsonl)$", re.I)
_USUAL = ("test", "dev", "validation")  # what BEIR reports is of the first of these that is there
_QUERIES = "queries.jsonl"


def judged_files(names: Iterable[str]) -> tuple[str, str | None] | None:
    """Return the judgements and the questions among names of files with "/", or None where none are BEIR's.

    Of several splits the one called test counts, or else dev or validation. Raises TrecError where the
    splits have other names: then one must be chosen.
    """
    there = sorted(names)
    qrels = [name for name in there if _QRELS.search(name)]
    if not qrels:
        return None
    by_split = {posixpath.splitext(posixpath.basename(name))[0].lower(): name for name in qrels}
    chosen = qrels[0] if len(qrels) == 1 else next((by_split[one] for one in _USUAL if one in by_split), None)
    if chosen is None:
        raise TrecError(f"There are several qrels files ({', '.join(qrels[:5])}): give the one you mean.")
    queries = posixpath.join(posixpath.dirname(posixpath.dirname(chosen)), _QUERIES)
    return chosen, queries if queries in there else None


@contextmanager
def unpacked(qrels: Lines, topics: Lines | None) -> Iterator[tuple[Lines, Lines | None, str]]:
    """Open the two files of a zip, exported here or of BEIR, or pass on what are text files already.

    Yields the judgements, the questions, and which file of a zip the judgements are. Raises TrecError.
    """
    if not _is_zip(qrels):
        yield qrels, topics, ""
        return
    try:
        with zipfile.ZipFile(qrels) as archive:
            files = {info.filename: info for info in archive.infolist() if not info.flag_bits & _ENCRYPTED}
            found = (QRELS_FILE, TOPICS_FILE) if QRELS_FILE in files else judged_files(files)
            if found is None:
                raise TrecError(
                    f"The zip holds no {QRELS_FILE}, and no qrels folder as BEIR has one, that can be read "
                    f"without a password."
                )
            if any(files[name].file_size > MAX_MEMBER_BYTES for name in found if name in files):
                raise TrecError(
                    f"A file of the zip has more than {MAX_MEMBER_BYTES / 1e6:,.0f} MB, which is the limit."
                )
            if topics is None and found[1] in files:
                topics = archive.open(found[1])
            yield archive.open(found[0]), topics, found[0]
    except _BROKEN_ZIP as error:
        raise TrecError(f"The zip cannot be read ({shown(str(error))}): give {QRELS_FILE} itself.") from error


def _is_zip(given: Lines) -> TypeGuard[IO[bytes]]:
    """Tell whether these are no lines yet but an open zip; reads nothing away."""
    if not (hasattr(given, "seekable") and given.seekable()):
        return False
    file = cast(IO[bytes], given)
    head = file.read(4)
    file.seek(0)
    return head == b"PK\x03\x04"
