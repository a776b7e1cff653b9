"""The project's own source files, and what each imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

from engine.settings import PROJECT_DIR


@cache
def source_files() -> tuple[str, ...]:
    files = [*PROJECT_DIR.glob("engine/**/*.py"), *PROJECT_DIR.glob("pages/**/*.py")]
    entry = PROJECT_DIR / "streamlit_app.py"
    found = [*files, *([entry] * entry.exists())]
    return tuple(sorted(path.relative_to(PROJECT_DIR).as_posix() for path in found))


def imports(tree: ast.AST, package: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield every imported module by its full name, relative imports included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield node, module
            for alias in node.names:
                yield node, f"{module}.{alias.name}"
