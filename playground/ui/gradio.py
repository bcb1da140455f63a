"""Gradio, without the part of what it imports that the page does not use."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


class _Deferred(ModuleType):
    """Gives the names of the real module, which is imported when the first one is asked for."""

    def __getattr__(self, name: str) -> object:
        return getattr(importlib.import_module(self.__name__), name)


@contextmanager
def _deferred(name: str) -> Iterator[None]:
    """What is imported inside gets a stand-in for a module, and everybody else the module itself.

    ``importlib.util.LazyLoader`` does not serve: a second ``import`` reads ``__spec__``, and that
    already loads.

    Args:
        name: of a top-level module; one that is loaded already is left alone.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = _Deferred(name)
    try:
        yield
    finally:
        del sys.modules[name]


class _Stubless(ModuleType):
    """Gives the names of the module that makes Gradio's components, and has it write no stubs.

    It would parse each component's file, and write one beside it for editors, at every import.
    """

    def __getattr__(self, name: str) -> object:
        if sys.modules[self.__name__] is self:
            del sys.modules[self.__name__]
            made = importlib.import_module(self.__name__)
            vars(made).update(create_or_modify_pyi=lambda *_: None)
        return getattr(sys.modules[self.__name__], name)


# Half of the import's time.
sys.modules.setdefault("gradio.component_meta", _Stubless("gradio.component_meta"))
# For tables and plots, of which the page has none: a third of a second, and 34 MB.
with _deferred("pandas"):
    import gradio as gr
    from gradio import networking, tunneling

__all__ = ["gr", "networking", "tunneling"]
