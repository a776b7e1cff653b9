"""The floors of the house: which rooms there are, and which lie below which."""

# From the ground up. A room is a folder of engine/ or pages/ui/, or a file beside them; two on one floor do
# not know each other. docs/design.md draws the same.
FLOORS = (
    ("engine", "engine.types", "engine.errors", "engine.text"),
    ("engine.vectors", "engine.settings", "engine.progress", "engine.disk", "engine.blas"),
    ("engine.background", "engine.media"),
    ("engine.models", "engine.analysis"),
    ("engine.storage",),
    ("engine.vector_files", "engine.search", "engine.datasets"),
    ("engine.ingest", "engine.maps", "engine.evaluation"),
    ("engine.towers", "engine.lessons"),
    ("engine.workspace", "engine.figures"),
    ("engine.report",),
    ("engine.jobs", "engine.cli"),
    ("engine.__main__", "pages.ui.wording", "pages.ui.glossary", "pages.ui.server"),
    ("pages.ui.frame", "pages.ui.resources", "pages.ui.figure", "pages.ui.counted"),
    (
        *("pages.ui.jobs", "pages.ui.large", "pages.ui.marks"),
        *("pages.ui.models", "pages.ui.preview", "pages.ui.target"),
    ),
    ("pages.ui.cards", "pages.ui.ask", "pages.ui.waiting", "pages.ui.exports", "pages.ui.vectors"),
    ("pages.ui.evaluate", "pages.ui.gap", "pages.ui.map", "pages.ui.home", "pages.ui.library"),
    ("pages.ui.rerank",),
    ("pages",),
    ("streamlit_app",),
)
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str | None:
    """Return "engine.maps" of "engine.maps.kept", "pages" of a page; None for what is not ours."""
    parts = module.split(".")
    if parts[0] == "engine":
        return ".".join(parts[:2])
    if parts[:2] == ["pages", "ui"]:
        return ".".join(parts[:3])
    return parts[0] if parts[0] in ("pages", "streamlit_app") else None


def module_of(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
