"""The look, said in Gradio's theme variables: one accent colour, calm surfaces, system fonts."""

from typing import Final

from playground.ui.gradio import gr

_SANS: Final = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "sans-serif")
_MONO: Final = ("ui-monospace", "SF Mono", "Menlo", "Consolas", "monospace")

# (light, dark) by theme variable; text on its background holds WCAG AA (4.5:1) in both.
_COLOURS: Final[dict[str, tuple[str, str]]] = {
    "body_background_fill": ("#fbfbfa", "#141516"),
    "body_text_color": ("#1c1d1f", "#e9e9e6"),
    "body_text_color_subdued": ("#62656b", "#9da1a8"),
    "background_fill_primary": ("#ffffff", "#1b1d1f"),
    "background_fill_secondary": ("#f3f3f0", "#222528"),
    "border_color_primary": ("#e4e4e1", "#2c2f33"),
    "color_accent_soft": ("#eef4f2", "#1c2725"),
    "link_text_color": ("#0f6b5c", "#5cc3ad"),
    "link_text_color_hover": ("#0a4d42", "#86d8c6"),
    "link_text_color_active": ("#0a4d42", "#86d8c6"),
    "link_text_color_visited": ("#0f6b5c", "#5cc3ad"),
    "block_background_fill": ("transparent", "transparent"),
    "input_background_fill": ("#ffffff", "#1b1d1f"),
    "input_border_color": ("#8f9298", "#666b72"),
    "code_background_fill": ("#f3f3f0", "#222528"),
    "button_primary_background_fill": ("#0f6b5c", "#5cc3ad"),
    "button_primary_background_fill_hover": ("#0c5a4d", "#74d0bc"),
    "button_primary_text_color": ("#ffffff", "#06241e"),
    "error_text_color": ("#a6262c", "#f08a8e"),
    "error_background_fill": ("#fbeeee", "#2c1d1e"),
}


def theme() -> gr.themes.Base:
    """The theme of the page."""
    variables = {
        "block_border_width": "0px",
        "block_shadow": "none",
        "layout_gap": "0px",
        "block_padding": "0px",
    }
    for name, (light, dark) in _COLOURS.items():
        variables[name] = light
        variables[f"{name}_dark"] = dark
    # Gradio has one accent for both modes; the stylesheet takes the button's, which has two.
    return gr.themes.Base(font=_SANS, font_mono=_MONO).set(color_accent="#0f6b5c", **variables)
