"""A file of playground/ imports from lower layers only, and Gradio stays in the page."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the ground up. Within a layer, too, a file imports only what stands before it.
LAYERS = [
    ["errors", "samplers", "messages", "evidence", "tally", "logs"],
    [
        "prompt",
        "presets",
        "coalesce",
        "highlight",
        "markdown",
        "stops",
        "formats",
        "snippets",
        "wire",
        "records",
        "links",
        "demos",
    ],
    ["settings", "engines", "meter", "store", "card", "visitor"],
    ["session", "proof"],
    ["compare", "seal", "gate", "waits", "guesses", "quota", "metrics", "allowance"],
    ["names", "guard", "journal", "server"],
    ["api"],
    ["auth"],
    ["ui"],
    ["doctor", "sharing"],
    ["app", "__main__"],
]
ORDER = [name for layer in LAYERS for name in layer]


def imports(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it, by their full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def part(module: str) -> str | None:
    """Of a module of the playground, the file or folder directly in it; None for any other."""
    names = module.split(".")
    return names[1] if names[0] == "playground" and len(names) > 1 else None


FILES = sorted((ROOT / "playground").rglob("*.py"))
assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_from_lower_layers_only(path: Path) -> None:
    own = path.relative_to(ROOT / "playground").parts[0].removesuffix(".py")
    if own == "__init__":
        assert not imports(path)
        return
    assert own in ORDER, f"{own} has no layer: give it one here"
    for module in imports(path):
        name = part(module)
        if name not in (None, own):
            assert name in ORDER, f"{own} imports {module}, which has no layer"
            assert ORDER.index(name) < ORDER.index(own), f"{own} imports {module} from above"


def test_every_file_of_the_table_is_there() -> None:
    present = {path.relative_to(ROOT / "playground").parts[0].removesuffix(".py") for path in FILES}
    assert set(ORDER) == present - {"__init__"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_gradio_is_imported_by_the_page_alone(path: Path) -> None:
    first = path.relative_to(ROOT / "playground").parts[0]
    if first not in ("ui", "app.py"):
        assert not any(module.split(".")[0] == "gradio" for module in imports(path))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tgi").rglob("*.py")), ids=lambda path: str(path.relative_to(ROOT))
)
def test_tgi_never_imports_the_playground(path: Path) -> None:
    assert not any(module.split(".")[0] == "playground" for module in imports(path))
