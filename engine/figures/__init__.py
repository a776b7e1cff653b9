"""Typed tables to plotly figures; draws no page."""
