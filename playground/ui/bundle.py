"""The browser's modules as few files: what a page begins with as one, and what it loads later.

The modules stay what they are, without a build step; they are put together when a page first asks
for them. A module becomes a function that is called at once and gives what it exports, so the
modules can be written as these do it: named exports that are never assigned anew, no ``*``, no
default, no ``await`` outside of a function, no template that goes on in a next line.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from posixpath import dirname, normpath
from typing import Final

_IMPORT: Final = re.compile(r"^import \{([^}]*)\} from '(\.[^']+)';$", re.MULTILINE)
_EXPORT: Final = re.compile(
    r"^export (?=(?:async )?(?:function\*?|class|const) ([\w$]+))", re.MULTILINE
)
_EXPORTS: Final = re.compile(r"^export \{([\w$, ]*)\};$", re.MULTILINE)
_LATER: Final = re.compile(r"\bimport\('(\.[^']+)'\)")
_UNREAD: Final = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)
_LINE_COMMENT: Final = re.compile(r"^[ \t]*//.*\n", re.MULTILINE)
_BLOCK_COMMENT: Final = re.compile(r"^[ \t]*/\*.*?\*/[ \t]*\n", re.MULTILINE | re.DOTALL)
_INDENT: Final = re.compile(r"^[ \t]+", re.MULTILINE)


class Bundles:
    """The files that an entry's modules are put together to.

    Args:
        folder: Of the modules. All of their paths are relative to it, with slashes.
        entry: The module that starts a page.
        name: Of the file that a page begins with, without its ending. Both files lie in a folder
            beside the modules', so that addresses relative to a module are what they were.

    Raises:
        ValueError: A module is written in a way that cannot be put together.
    """

    def __init__(self, folder: Path, entry: str, name: str) -> None:
        self._folder = folder
        self._texts: dict[str, str] = {}
        self._name = name
        self.first = self._closure([entry])
        later = list(self.first)
        for module in later:  # grows while it is gone through
            wanted = (_beside(module, each) for each in _LATER.findall(self._text(module)))
            later += [each for each in self._closure(list(wanted)) if each not in later]
        self.later = [each for each in self._closure(later) if each not in self.first]

    def begin(self) -> str:
        """The file that a page begins with."""
        return self._file(self.first, self.first if self.later else [])

    def rest(self) -> str:
        """The file with what is loaded later, all of it the first time."""
        names = ", ".join(map(_name, self.first))
        return (
            f"import {{ {names} }} from './{self._name}.js';\n{self._file(self.later, self.later)}"
        )

    def _file(self, modules: Sequence[str], exported: Sequence[str]) -> str:
        texts = [self._wrapped(each) for each in modules]
        if exported:
            texts.append(f"export {{ {', '.join(map(_name, exported))} }};\n")
        return "".join(texts)

    def _closure(self, entries: Sequence[str]) -> list[str]:
        """The modules and all that they import at once, each behind those that it imports."""
        found: dict[str, None] = {}

        def find(module: str) -> None:
            if module not in found:
                for _, each in _IMPORT.findall(self._text(module)):
                    find(_beside(module, each))
                found[module] = None

        for entry in entries:
            find(entry)
        return list(found)

    def _text(self, module: str) -> str:
        """A module without its comments and its indentation."""
        if module not in self._texts:
            text = (self._folder / module).read_text(encoding="utf-8")
            for each in (_LINE_COMMENT, _BLOCK_COMMENT, _INDENT):
                text = each.sub("", text)
            self._texts[module] = text
        return self._texts[module]

    def _wrapped(self, module: str) -> str:
        text = self._text(module)
        exported = _EXPORT.findall(text)
        for names in _EXPORTS.findall(text):
            exported += [each.strip() for each in names.split(",") if each.strip()]

        def imported(found: re.Match[str]) -> str:
            names = found[1].replace(" as ", ": ")
            return f"const {{{names}}} = {_name(_beside(module, found[2]))};"

        def later(found: re.Match[str]) -> str:
            wanted = _beside(module, found[1])
            if wanted in self.first or module in self.later:
                return f"Promise.resolve({_name(wanted)})"
            return f"import('./{self._name}-later.js').then((all) => all.{_name(wanted)})"

        text = _EXPORTS.sub("", _EXPORT.sub("", _LATER.sub(later, _IMPORT.sub(imported, text))))
        if unread := _UNREAD.search(text):
            raise ValueError(f"{module} cannot be put together: {unread[0]}")
        given = f"return {{ {', '.join(exported)} }};\n" if exported else ""
        return f"const {_name(module)} = (() => {{\n{text}{given}}})();\n"


def _beside(module: str, path: str) -> str:
    return normpath(f"{dirname(module)}/{path}")


def _name(module: str) -> str:
    """Of the variable that holds what a module exports."""
    return "_" + re.sub(r"\W", "_", module.removesuffix(".js"))
