"""The collections in Chroma: create, upsert, query, page, swap, delete.

What lies in Chroma, row by row, is for `chroma_rows.py`; the folder of an embedded one for
`chroma_folder.py`. One collection for the person is one Chroma collection per modality behind the
scenes: a `where` on the modality costs a hundred times an unfiltered query at 100,000 items.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.disk import folder_error
from engine.errors import (
    CollectionModelError,
    CollectionNameError,
    CollectionNotFoundError,
    StoreFailedError,
    StoreUnreachableError,
)
from engine.storage.chroma_folder import crash_marker, open_folder, own, sweep_deleted
from engine.storage.chroma_rows import (
    HNSW,
    SCHEMA,
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
from engine.types import MODALITIES, Item, Modality, Provenance, VectorTable

if TYPE_CHECKING:
    from chromadb.api import ClientAPI
    from chromadb.api.models.Collection import Collection

_SAME = 0.999  # a vector found again by itself; float32 leaves less than 1e-6 of doubt
_PAGE = 5_000  # Chroma fails on more than 32,766 rows of metadata, or as many ids, at once
_CONNECT_SECONDS = 5.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,58}[A-Za-z0-9]")


@dataclass(frozen=True)
class CollectionInfo:
    """A collection as the person knows it: what made it and how many items of each modality."""

    name: str
    made_by: Provenance
    created_at: int
    counts: dict[Modality, int]

    @property
    def total(self) -> int:
        """Return the number of items of all modalities."""
        return sum(self.counts.values())


def model_error(name: str, made_by: Provenance, wanted: Provenance) -> CollectionModelError:
    """Return the error that says what made a collection, what is wanted, and how the two differ."""
    return CollectionModelError(name, str(made_by), str(wanted), made_by.differences(wanted))


def check_name(name: str) -> str:
    """Return the name, or raise CollectionNameError with the rule and a name that would do."""
    if _NAME.fullmatch(name) and ".." not in name:
        return name
    slug = re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_.")[:60].strip("-_")
    raise CollectionNameError(name, slug if len(slug) >= 3 else "my-photos")


class Store:
    """The collections of one Chroma; safe from several threads of the process that opened it."""

    def __init__(self, client: ClientAPI, where: str, release: Any = None) -> None:
        self._client = client
        self.where = where
        self._release = release
        self._counts: dict[str, int] = {}  # counting 100,000 rows takes longer than searching them
        self._counting = threading.Lock()
        self._swapping = threading.Lock()

    @classmethod
    def open_embedded(cls, data_dir: Path) -> Store:
        """Open the store in the data folder for this process alone; put a damaged index aside.

        Raises StoreLockedError before anything is touched where another process has it open, and
        FolderError where the folder cannot be written.
        """
        lock = own(data_dir)
        folder = data_dir / "chroma"
        with ExitStack() as on_failure:
            on_failure.callback(lock.release)
            with _translated(str(folder)), crash_marker(data_dir):
                sweep_deleted(folder)
                client = open_folder(folder)
            on_failure.pop_all()  # the store holds the lock from here on
        return cls(client, str(folder), lock)

    @classmethod
    def open_server(cls, url: str) -> Store:
        """Connect to a Chroma server. Raises StoreUnreachableError."""
        import chromadb
        import httpx

        settings = chromadb.Settings(anonymized_telemetry=False)
        address = re.fullmatch(r"(https?)://([^:/]+)(?::(\d{1,5}))?/?", url)
        if not address:
            raise StoreUnreachableError(url)
        scheme, host, port = address.groups()
        with _translated(url):
            try:
                # Chroma's own client waits for ever on a server that accepts and says nothing.
                httpx.get(f"{url.rstrip('/')}/api/v2/heartbeat", timeout=_CONNECT_SECONDS)
                client = chromadb.HttpClient(
                    host=host,
                    port=int(port or (443 if scheme == "https" else 8000)),
                    ssl=scheme == "https",
                    settings=settings,
                )
            except (ValueError, httpx.InvalidURL) as error:  # ValueError: chromadb's word for no answer
                raise StoreUnreachableError(url) from error
        return cls(client, url)

    def close(self) -> None:
        """Close an embedded store and let another process open it; a server connection ends."""
        self._client.close()
        if self._release is not None:
            self._release.release()

    @property
    def is_shared(self) -> bool:
        """Tell whether other processes may write to it: a server, where an embedded store has one owner."""
        return self._release is None

    def collections(self) -> list[CollectionInfo]:
        """Return every collection of Gapscope in this store, by name."""
        with self._errors():
            grouped: dict[str, list[Collection]] = {}
            for collection in self._client.list_collections():
                metadata = collection.metadata or {}
                if metadata.get("gapscope"):
                    grouped.setdefault(metadata["collection"], []).append(collection)
            return [self._info(name, parts) for name, parts in sorted(grouped.items())]

    def staged(self) -> set[StagingName]:
        """Return the names of the collections here that are still being made, by whomever."""
        with self._errors():
            parts = [one.metadata or {} for one in self._client.list_collections()]
        return {StagingName(part["made_as"]) for part in parts if is_staged(part)}

    def info(self, name: str) -> CollectionInfo:
        """Return one collection. Raises CollectionNotFoundError with the names there are."""
        with self._errors():
            parts = self._parts(name)
            if parts:
                return self._info(name, parts)
        raise CollectionNotFoundError(name, [info.name for info in self.collections()])

    def made_by(self, name: str) -> Provenance:
        """Return what made a collection, without counting it. Raises CollectionNotFoundError."""
        with self._errors():
            for modality in MODALITIES:
                part = self._part(name, modality)
                if part is not None:
                    return provenance_of(part.metadata)
        return self.info(name).made_by

    def check_model(self, name: str, made_by: Provenance) -> None:
        """Raise CollectionModelError where the collection exists and another model made it."""
        with self._errors():
            parts = self._parts(name)
        for part in parts:
            if not provenance_of(part.metadata).agrees_with(made_by):
                raise model_error(name, provenance_of(part.metadata), made_by)

    def upsert(
        self,
        name: str,
        made_by: Provenance,
        modality: Modality,
        items: Sequence[Item],
        table: VectorTable,
    ) -> None:
        """Store items of one modality with their unit vectors (n, dim) float32, row i with items[i].

        Makes the collection where it does not exist. Raises CollectionNameError,
        CollectionModelError, a StoreError, and ValueError where items, vectors and width do not agree.
        """
        if tuple(item.id for item in items) != table.ids:
            raise ValueError("items and vectors do not carry the same ids in the same order")
        if not items:
            return
        if table.vectors.shape[1] != made_by.dim:
            raise ValueError(f"vectors of {table.vectors.shape} are not of {made_by}")
        with self._writing():
            collection = self._make(name, made_by, modality)
            collection.upsert(
                ids=list(table.ids),
                embeddings=table.vectors,
                metadatas=[to_metadata(item) for item in items],
            )

    def id_pages(self, name: str, modality: Modality) -> Iterator[list[str]]:
        """Yield the ids of everything stored of one modality, in pages."""
        with self._errors():
            part = self._part(name, modality)
            if part is None:
                return
            for offset in range(0, part.count(), _PAGE):
                yield part.get(limit=_PAGE, offset=offset, include=[])["ids"]

    def existing(self, name: str, modality: Modality, ids: Iterable[str]) -> set[str]:
        """Return those of these ids that are stored."""
        with self._errors():
            collection = self._part(name, modality)
            wanted = list(dict.fromkeys(ids))
            if collection is None:
                return set()
            pages = (wanted[start : start + _PAGE] for start in range(0, len(wanted), _PAGE))
            return {id_ for page in pages for id_ in collection.get(ids=page, include=[])["ids"]}

    def query(self, name: str, modality: Modality, vector: np.ndarray, k: int) -> list[tuple[Item, float]]:
        """Return the k items nearest to a unit vector (dim,) float32, best first, with their cosine."""
        with self._errors():
            collection = self._part(name, modality)
            if collection is None:
                return []
            found = collection.query(
                query_embeddings=vector[None, :],
                n_results=k,
                include=["metadatas", "distances"],
            )
        rows = zip(found["ids"][0], found["metadatas"][0], found["distances"][0], strict=True)
        return [(to_item(id_, metadata), similarity(distance)) for id_, metadata, distance in rows]

    def nearest(
        self, name: str, modality: Modality, vector: np.ndarray, count: int
    ) -> list[tuple[str, float]]:
        """Return the ids nearest to a unit vector (dim,) float32, best first, with their cosine.

        What is known of the items takes longer to read than to find them.
        """
        with self._errors():
            collection = self._part(name, modality)
            if collection is None:
                return []
            found = collection.query(query_embeddings=vector[None, :], n_results=count, include=["distances"])
        return list(zip(found["ids"][0], map(similarity, found["distances"][0]), strict=True))

    def best_of_nearest(
        self,
        name: str,
        vectors: Mapping[Modality, np.ndarray],
        pool: int,
        best: Callable[[dict[Modality, VectorTable]], Mapping[Modality, Sequence[str]]],
    ) -> dict[Modality, list[Item]]:
        """Return the items that `best` picks, in its order, of those nearest to a unit vector per modality.

        vectors: (dim,) float32 each. `best` gets at most `pool` stored vectors (m, dim) float32 of each
        modality, and returns at most 5,000 ids of each: what is known of items takes longer to read than
        their vectors, so that it is read of these alone.
        """
        with self._errors():
            found = {one: self._part(name, one) for one in vectors}
            parts = {one: part for one, part in found.items() if part is not None}
            tables = {one: _nearest(part, vectors[one], pool) for one, part in parts.items()}
            return {one: _items_of(parts[one], ids) for one, ids in best(tables).items()}

    def items_of(self, name: str, modality: Modality, ids: Sequence[str]) -> list[Item]:
        """Return at most 5,000 items in the order of their ids, less those that are gone."""
        with self._errors():
            collection = self._part(name, modality)
            return [] if collection is None else _items_of(collection, ids)

    def unfound(self, name: str, modality: Modality, table: VectorTable) -> list[str]:
        """Return the ids that are not stored, or whose own vector finds nothing that equals it.

        Chroma's index grows in memory as it is asked, and a row now and then ends up without a way
        to it: 22 of 16,000 rows in 50 ingests here. Written anew, or after reopening, it is found.
        """
        stored = self.existing(name, modality, table.ids)
        lost = [id_ for id_ in table.ids if id_ not in stored]
        with self._errors():
            collection = self._part(name, modality)
            for start in range(0, len(table), 256):
                ids, vectors = table.ids[start : start + 256], table.vectors[start : start + 256]
                if collection is None:
                    return list(table.ids)
                found = collection.query(query_embeddings=vectors, n_results=1, include=["distances"])
                nearest = [row[0] if row else 2.0 for row in found["distances"]]
                lost += [id_ for id_, far in zip(ids, nearest, strict=True) if similarity(far) < _SAME]
        return list(dict.fromkeys(lost))

    def best_scores(self, name: str, modality: Modality, vectors: np.ndarray) -> np.ndarray:
        """Return the cosine of each of n vectors with the item nearest to it: (n,) float32.

        vectors: (n, dim) float32, unit rows. (0,) where the collection has no item of this modality.
        """
        with self._errors():
            collection = self._part(name, modality)
            if collection is None:
                return np.zeros(0, np.float32)
            found = collection.query(query_embeddings=vectors, n_results=1, include=["distances"])
        return np.array([similarity(row[0]) for row in found["distances"] if row], np.float32)

    def items(self, name: str, modality: Modality, *, limit: int, offset: int = 0) -> list[Item]:
        """Return a page of items in the store's order (at most 5,000)."""
        with self._errors():
            collection = self._part(name, modality)
            if collection is None:
                return []
            found = collection.get(limit=min(limit, _PAGE), offset=offset, include=["metadatas"])
        return [to_item(*row) for row in zip(found["ids"], found["metadatas"], strict=True)]

    def all_items(self, name: str, modality: Modality) -> Iterator[Item]:
        """Yield every item of one modality, read in pages."""
        offset = 0
        while page := self.items(name, modality, limit=_PAGE, offset=offset):
            yield from page
            offset += len(page)

    def vectors(self, name: str, modality: Modality, ids: Iterable[str] | None = None) -> VectorTable:
        """Return the stored vectors (n, dim) float32: of these ids, in their order, or of all."""
        wanted = None if ids is None else list(dict.fromkeys(ids))
        with self._errors():
            collection = self._part(name, modality)
            parts = [] if collection is None else list(_vector_pages(collection, wanted))
        found_ids = tuple(id_ for part_ids, _ in parts for id_ in part_ids)
        rows = [rows for _, rows in parts if len(rows)]
        matrix = np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)
        table = VectorTable(found_ids, matrix)
        if wanted is None:
            return table
        found = set(found_ids)
        return table.take(id_ for id_ in wanted if id_ in found)

    def delete_items(self, name: str, ids: Iterable[str]) -> None:
        """Delete items wherever they are in the collection; unknown ids are no error."""
        wanted = list(ids)
        with self._writing():
            for modality in MODALITIES:
                collection = self._part(name, modality)
                if collection is None:
                    continue
                for start in range(0, len(wanted), 256):
                    collection.delete(ids=wanted[start : start + 256])

    def delete_part(self, name: str, modality: Modality) -> None:
        """Delete one modality of a collection, so that its index can be made again."""
        with self._writing():
            if self._part(name, modality) is not None:
                self._delete(chroma_name(name, modality))

    def delete_collection(self, name: str) -> None:
        """Delete a collection with all its modalities. Raises CollectionNotFoundError."""
        self.info(name)
        self.drop(name)

    def drop(self, name: str) -> None:
        """Delete a collection, or one still being made, if it is there."""
        for modality in MODALITIES:
            self.delete_part(name, modality)

    def swap(self, staging: StagingName, target: str, replaces: Provenance | None) -> None:
        """Put what was staged in the place of the collection that `replaces` made (None: there was none).

        May be run again after it was cut off anywhere. Where another process of a shared server has
        made the target anew since, theirs is left as it is and what was staged is dropped. For the
        milliseconds of the renames nobody finds the target; nobody ever finds parts of both.
        """
        with self._swapping, self._writing():
            others = [part for part in self._parts(target) if not made_as(part.metadata, staging)]
            if all(replaces and provenance_of(part.metadata).agrees_with(replaces) for part in others):
                for part in others:
                    # Renaming takes milliseconds; deleting 100,000 rows takes seconds.
                    modality = part.metadata["modality"]
                    part.modify(name=old_name(staging, modality), metadata={"modality": modality})
                for part in (*self._parts(staging), *self._parts(target)):
                    shown = {**part.metadata, "gapscope": SCHEMA, "collection": target}
                    if shown != part.metadata:
                        part.modify(name=chroma_name(target, shown["modality"]), metadata=shown)
        self.drop(staging)
        with self._writing():
            for modality in MODALITIES:
                self._delete(old_name(staging, modality))

    def _delete(self, chroma_name: str) -> None:
        from chromadb.errors import NotFoundError

        with suppress(NotFoundError):  # another process of a server may have been first
            self._client.delete_collection(chroma_name)

    def _parts(self, name: str) -> list[Collection]:
        found = (self._part(name, modality) for modality in MODALITIES)
        return [part for part in found if part is not None]

    def _part(self, name: str, modality: Modality) -> Collection | None:
        from chromadb.errors import NotFoundError

        if not isinstance(name, StagingName):
            check_name(name)
        try:
            return self._client.get_collection(chroma_name(name, modality), embedding_function=None)
        except NotFoundError:
            return None

    def _info(self, name: str, parts: Sequence[Collection]) -> CollectionInfo:
        counts = {part.metadata["modality"]: self._count(part) for part in parts}
        return CollectionInfo(
            name=name,
            made_by=provenance_of(parts[0].metadata),
            created_at=min(part.metadata["created_at"] for part in parts),
            counts={modality: counts[modality] for modality in MODALITIES if modality in counts},
        )

    def _count(self, part: Collection) -> int:
        """Return a count, remembered until the next write where no other process can write."""
        with self._counting:
            known, counts = self._counts.get(part.name), self._counts
        if known is not None:
            return known
        count = part.count()
        with self._counting:
            # A write since then has put another dict in this one's place.
            if not self.is_shared and counts is self._counts:
                counts[part.name] = count
        return count

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._errors():
            try:
                yield
            finally:
                with self._counting:
                    self._counts = {}

    def _make(self, name: str, made_by: Provenance, modality: Modality) -> Collection:
        self.check_model(name, made_by)
        return self._part(name, modality) or self._client.create_collection(
            chroma_name(name, modality),
            configuration={"hnsw": dict(HNSW)},
            metadata=collection_metadata(name, made_by, modality),
            embedding_function=None,
            get_or_create=True,
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        with _translated(self.where):
            yield


@contextmanager
def _translated(where: str) -> Iterator[None]:
    """Turn what Chroma and its transport raise into StoreErrors; the one place for it."""
    import httpx
    from chromadb.errors import ChromaError

    try:
        yield
    except httpx.HTTPError as error:
        raise StoreUnreachableError(where) from error
    except ChromaError as error:
        raise StoreFailedError(where, str(error)) from error
    except OSError as error:
        raise folder_error(Path(where), error) from error


def _nearest(part: Collection, vector: np.ndarray, count: int) -> VectorTable:
    """Return the vectors (at most count, dim) float32 nearest to a unit vector (dim,) float32."""
    found = part.query(
        query_embeddings=vector[None, :],
        n_results=count,
        include=["embeddings"],
    )
    rows = np.asarray(found["embeddings"][0], np.float32).reshape(-1, len(vector))
    return VectorTable(tuple(found["ids"][0]), rows)


def _items_of(collection: Collection, ids: Sequence[str]) -> list[Item]:
    """Return at most 5,000 items in the order of their ids, less those that are gone."""
    if not ids:
        return []
    found = collection.get(ids=list(ids[:_PAGE]), include=["metadatas"])
    known = dict(zip(found["ids"], found["metadatas"], strict=True))
    return [to_item(id_, known[id_]) for id_ in ids if id_ in known]


def _vector_pages(collection: Collection, ids: list[str] | None) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yield ids, of all or of these, with their vectors (m, dim) float32 in the order Chroma has them."""
    total = collection.count() if ids is None else len(ids)
    for start in range(0, total, _PAGE):
        chosen: dict[str, Any] = (
            {"limit": _PAGE, "offset": start} if ids is None else {"ids": ids[start : start + _PAGE]}
        )
        found = collection.get(include=["embeddings"], **chosen)
        yield found["ids"], np.asarray(found["embeddings"], np.float32)
