"""Long work in the background: what to do, doing it, and how it stands."""
