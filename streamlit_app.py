"""The entry: what `streamlit run` opens. Serves the app, and draws Home when Streamlit runs it."""

from __future__ import annotations

if __name__ == "__main__":
    from pages.ui import home

    home.draw()
else:
    from starlette.middleware import Middleware
    from streamlit.starlette import App

    from pages.ui.server import TellServer

    app = App(__file__, middleware=[Middleware(TellServer)])
