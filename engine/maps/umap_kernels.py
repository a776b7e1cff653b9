"""umap with kernels that are compiled once per installation; the only file that imports umap.

umap-learn leaves most of its kernels to be compiled by every process again, which is half a minute before
its first map. numba keeps compiled kernels on disk where it is told to: here it is told so of all of them.
What is fitted, and with what settings, is `projection.py`'s.
"""

from __future__ import annotations

import hashlib
import logging
import pickle
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)
_LIBRARIES = ("umap-learn", "pynndescent", "numba", "llvmlite", "numpy")
_LOCK_SECONDS = 10.0  # for a file of some kilobytes; after that the kernel is not kept
# What unpickling a damaged file raises, and what a full or unreadable disk does.
_UNUSABLE = (
    OSError,
    EOFError,
    pickle.UnpicklingError,
    AttributeError,
    ImportError,
    IndexError,
    KeyError,
    NotImplementedError,  # a file system without locks
    TypeError,
    ValueError,
)
_loading = threading.Lock()
_compiling = threading.Event()


def load() -> type:
    """Return the class UMAP; the first call of a process imports it, with its kernels kept."""
    with _loading:
        folder = _folder()
        if folder is not None and not any(folder.iterdir()):
            _compiling.set()
        with kept(folder):
            from umap import UMAP
    return UMAP


def compiling() -> bool:
    """Tell whether kernels are being compiled now that later processes will find."""
    return _compiling.is_set()


def compiled() -> None:
    """Take note that a fit has got beyond its compiling."""
    _compiling.clear()


def _folder() -> Path | None:
    """Return where kernels are kept, made and writable: beside the package, or in the user's cache.

    Not in the data folder: that is handed from one person to another, and whoever opened it would run the
    machine code in it. NUMBA_CACHE_DIR goes before both, as numba documents it. The folder carries the
    releases, as numba itself would not see that a kernel it kept calls a function that has changed.
    """
    from numba import config
    from numba.misc.appdirs import AppDirs

    spec = find_spec("umap")
    beside = Path(spec.origin).parent / "__pycache__" if spec and spec.origin else None
    own = Path(AppDirs("numba", appauthor=False).user_cache_dir)
    given = vars(config)["CACHE_DIR"]  # which numba sets as no type checker sees
    releases = "-".join(version(name) for name in _LIBRARIES)
    for parent in [Path(given)] if given else [beside, own]:
        if parent is None:
            continue
        folder = parent / f"gapscope-{releases}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            log.info("compiled kernels cannot be kept in %s: %s", folder, error)
            continue
        return folder
    log.warning("UMAP is compiled in every process: no folder to keep its kernels in can be written")
    return None


@contextmanager
def kept(folder: Path | None) -> Iterator[None]:
    """Have numba keep in a folder what is decorated meanwhile; None keeps nothing, and fails at nothing.

    A library that another thread imports meanwhile is kept too, which is harmless.
    """
    import numba
    import numba.typed  # before: its modules would go on with the decorator they were imported with
    from numba.core import dispatcher
    from numba.core.caching import NullCache

    library: Any = numba
    caches: Any = dispatcher
    njit = library.njit
    before = njit, caches.FunctionCache, library.config.CACHE_DIR
    library.njit = lambda *args, **options: njit(*args, **{"cache": True, **options})
    caches.FunctionCache = _cache_in(folder) if folder else lambda function: NullCache()
    library.config.CACHE_DIR = str(folder or "")
    try:
        yield
    finally:
        library.njit, caches.FunctionCache, library.config.CACHE_DIR = before


def _cache_in(folder: Path) -> Callable[[Callable[..., Any]], Any]:
    """Return what makes the cache of a function: numba's own, which may be damaged, full or shared."""
    from filelock import FileLock
    from numba.core.caching import CompileResultCacheImpl, FunctionCache, NullCache
    from numba.core.serialize import dumps

    told: set[str] = set()

    def say(words: str, *parts: object) -> None:
        """Warn of each kind of trouble once: a full disk would be told of a hundred kernels."""
        log.log(logging.DEBUG if words in told else logging.WARNING, words, *parts)
        told.add(words)

    class Checked(CompileResultCacheImpl):
        """How a kernel is written: with its hash, as machine code that is damaged would end the process."""

        def reduce(self, cres: Any) -> tuple[bytes, bytes]:
            data = dumps(super().reduce(cres))
            return hashlib.sha256(data).digest(), data

        def rebuild(self, target_context: Any, payload: tuple[bytes, bytes]) -> Any:
            digest, data = payload
            if hashlib.sha256(data).digest() != digest:
                raise ValueError("its hash is another")
            return super().rebuild(target_context, pickle.loads(data))

        def check_cachable(self, cres: Any) -> bool:
            # As numba's, without its warning: that some cannot be kept is known, and no fault.
            return all(one.can_cache for one in cres.lifted) and not cres.library.has_dynamic_globals

    class Kept(FunctionCache):
        """The kernels of one function; what cannot be read is compiled again, what cannot be kept is not."""

        _impl_class = Checked

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            try:
                return super().load_overload(sig, target_context)
            except _UNUSABLE as error:
                say("a kept kernel of %s is damaged and compiled again: %s", self._name, error)
                self._forget()
                return None

        def save_overload(self, sig: Any, data: Any) -> None:
            try:
                # Two processes would write each other's kernels over, under numbers of the same index.
                with FileLock(folder / "lock", timeout=_LOCK_SECONDS):
                    super().save_overload(sig, data)
            except _UNUSABLE as error:
                say("a compiled kernel of %s is not kept: %s", self._name, error)

        def _forget(self) -> None:
            try:
                with FileLock(folder / "lock", timeout=_LOCK_SECONDS):
                    for path in Path(self.cache_path).iterdir():
                        if path.name.startswith(f"{self._impl.filename_base}."):
                            path.unlink(missing_ok=True)
            except _UNUSABLE as error:
                say("a damaged kernel of %s stays: %s", self._name, error)
                self.disable()

    seen: set[Callable[..., Any]] = set()

    def cache_of(function: Callable[..., Any]) -> Any:
        # numba tells kernels of one function apart by their types alone: one compiled for one thread and
        # one for several would be taken for each other. The first keeps its place.
        if function in seen:
            return NullCache()
        seen.add(function)
        try:
            return Kept(function)
        except RuntimeError:  # numba's word for a function whose source is no file
            return NullCache()

    return cache_of
