"""The pages' HTML: templates, which are given values and make of each a text, never HTML."""

from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined

_TEMPLATES: Final = Environment(
    loader=PackageLoader("playground.ui"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    auto_reload=False,
)


def render(template: str, **values: object) -> str:
    """The HTML of a template in templates/, by its file's name without the ending.

    Raises:
        UndefinedError: When a value that it names is missing.
    """
    return _TEMPLATES.get_template(f"{template}.html").render(values)
