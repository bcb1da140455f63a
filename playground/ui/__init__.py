"""Gradio's page around our own panes, and the pages that need nothing of Gradio."""

from playground.ui.deferred import deferred

# For tables and plots, of which the page has none: a third of a second, and 34 MB.
with deferred("pandas"):
    import gradio  # noqa: F401
