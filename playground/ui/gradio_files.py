"""What of Gradio's browser's files its page needs, by what they say of each other.

Gradio's page learns of its files in four ranks, of which each waits for the one before, and asks
for each component's stylesheet by itself. Here they are found before, so that the page can name
them. They are found by the shape of what Gradio's bundler (Vite) writes: where a release of Gradio
has another one, fewer are named, and the page asks for the rest as it always did.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

_ENTRY: Final = re.compile(r'src="\./assets/([\w-]+\.js)"')
_SHEET: Final = re.compile(r'<link rel="stylesheet"[^>]* href="\./assets/([\w-]+\.css)">')
_ALL: Final = re.compile(r"\bm\.f=\[([^\]]*)\]")
_LATER: Final = r"import\(`\./({name}[\w-]*\.js)`\)[^\[\]]*?,__vite__mapDeps\(\[([\d,]+)\]\)"
# Fits the size of a frame that Gradio's page is shown in, and ours is in none.
_RESIZER: Final = re.compile(
    r"<script>(?:(?!</script>).)*/js/iframeResizer\.contentWindow(?:(?!</script>).)*</script>",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Needed:
    """Names of files in Gradio's folder of assets, in the order in which the page comes to them."""

    scripts: tuple[str, ...]
    sheets: tuple[str, ...]


def needed(page: str, assets: Path, components: Iterable[str]) -> Needed:
    """The files of a page.

    Args:
        page: Gradio's HTML.
        assets: The folder that it names as ./assets.
        components: What Gradio calls those that are on the page.
    """
    entry = _ENTRY.search(page)
    if entry is None:
        return Needed((), ())
    found = dict.fromkeys([entry[1], *_SHEET.findall(page)])

    def follow(file: str | None, name: str, before: str = "") -> str | None:
        """Add what a file asks for when it loads another one, and give that one's name."""
        text = (assets / file).read_text(encoding="utf-8") if file else ""
        names = re.findall(r'"\./([^"]+)"', "".join(_ALL.findall(text)[:1]))
        asked = re.search(before + _LATER.format(name=name), text)
        if asked is None:
            return None
        files = [names[int(i)] for i in asked[2].split(",") if int(i) < len(names)]
        found.update(dict.fromkeys([*files, asked[1]]))
        return asked[1]

    follow(follow(entry[1], "Index-"), "Blocks-")
    core = next((each for each in found if each.startswith("core-") and each.endswith(".js")), None)
    for component in sorted(set(components)):
        before = rf"\b{re.escape(component)}:\{{[^{{}}]*?component:\(\)=>[\w$]+\(\(\)=>"
        follow(core, "Index-", before)
    there = [each for each in found if (assets / each).is_file()]
    return Needed(
        tuple(each for each in there if each.endswith(".js")),
        tuple(each for each in there if each.endswith(".css")),
    )


def merged(sheets: Iterable[str], assets: Path) -> str:
    """Stylesheets as one."""
    return "\n".join((assets / each).read_text(encoding="utf-8") for each in sheets)


def named(page: str, files: Needed, sheet: str, styles: Iterable[str], script: str) -> str:
    """A page that names what it needs, with one stylesheet in the place of Gradio's.

    Of each of these it has a link that is switched off: by it Gradio's scripts know that they
    need not fetch them.

    Args:
        sheet: The address of the one stylesheet.
        styles: Of others that the page will ask for.
        script: Of our own that it will ask for.
    """
    scripts = [*(f"./assets/{each}" for each in files.scripts), script]
    links = [
        *(f'<link rel="modulepreload" href="{escape(each)}">' for each in scripts),
        *(f'<link rel="preload" as="style" href="{escape(each)}">' for each in styles),
        f'<link rel="stylesheet" href="{escape(sheet)}">',
        *(f'<link rel="stylesheet" disabled href="./assets/{each}">' for each in files.sheets),
    ]
    return _SHEET.sub(lambda _: "\n".join(links), _RESIZER.sub("", page), count=1)
