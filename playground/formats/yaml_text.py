"""A preset in YAML: names and values, read with bounded work.

PyYAML's work grows faster than its text where that is deep, and its tags, anchors and merged keys
stand for what no preset needs. So they are refused as they are met, before anything is made.
"""

from typing import Any, Final

import yaml

from playground.formats.plain_values import DEEPEST, check_plain
from playground.formats.values import Entry, Problem, Unreadable

_MAX_EVENTS: Final = 2_000  # each takes some 30 µs
_LONGEST_NUMBER: Final = 40
_NUMBERS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _Loader(yaml.SafeLoader):
    """Reads no more of a text than a preset can hold."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._events = 0
        self._depth = 0

    def fetch_flow_collection_start(self, token_class: Any) -> None:
        if self.flow_level >= DEEPEST:  # each level makes every token behind it slower to read
            raise _refused("A preset has no values as deep as these.", self.line)
        super().fetch_flow_collection_start(token_class)

    def get_event(self) -> Any:
        event = super().get_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line
        self._events += 1
        self._depth += isinstance(event, yaml.CollectionStartEvent)
        self._depth -= isinstance(event, yaml.CollectionEndEvent)
        if self._events > _MAX_EVENTS:
            raise _refused("A preset has not as many values as this.", line)
        if self._depth > DEEPEST:
            raise _refused("A preset has no values as deep as these.", line)
        if isinstance(event, yaml.AliasEvent):  # a few of them can stand for gigabytes
            raise _refused("A preset needs no aliases, and none is read.", line)
        if getattr(event, "anchor", None) is not None:
            raise _refused("A preset needs no anchors, and none is read.", line)
        if getattr(event, "tag", None) is not None:
            raise _refused("A preset needs no tags, and none is read.", line)
        return event


def yaml_entries(text: str) -> list[Entry]:
    """The names and values of a text.

    Raises:
        Unreadable: It is no mapping of names to values, or holds what no preset needs.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark else None
        raise _refused(f"This is not YAML: {error.problem}.", line) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position))
        raise _refused("This is not YAML: a character in it is not allowed.", line) from error
    except (ValueError, OverflowError) as error:  # an escape that is no character
        raise _refused("This is not YAML: an escape in it is no character.", loader.line) from error
    if not isinstance(node, yaml.MappingNode):
        raise _refused("A preset is a mapping of names to values.", 0)
    entries: list[Entry] = []
    for key, value in node.value:
        line = key.start_mark.line
        if not isinstance(key, yaml.ScalarNode):
            raise _refused("A name must be a plain word.", line)
        entries.append(Entry(key.value, _value(loader, value), line + 1))
        try:
            check_plain({key.value: entries[-1].value})
        except Unreadable as error:
            raise _refused(str(error), line) from error
    return entries


def _value(loader: _Loader, node: yaml.Node) -> object:
    line = node.start_mark.line
    for each in _scalars(node):
        if each.tag == "tag:yaml.org,2002:merge":
            raise _refused("A preset needs no merged keys, and none is read.", line)
        if each.tag in _NUMBERS and len(each.value) > _LONGEST_NUMBER:
            raise _refused("A number in this is too long.", line)
    try:
        return loader.construct_object(node, deep=True)
    except yaml.MarkedYAMLError as error:
        raise _refused(f"This is not YAML: {error.problem}.", line) from error
    except (ValueError, OverflowError) as error:
        raise _refused("This value cannot be read: it is no date or number.", line) from error


def _scalars(node: yaml.Node) -> list[yaml.ScalarNode]:
    found, left = [], [node]
    while left:
        each = left.pop()
        if isinstance(each, yaml.ScalarNode):
            found.append(each)
        elif isinstance(each, yaml.MappingNode):
            left += [part for pair in each.value for part in pair]
        else:
            left += each.value
    return found


def _refused(reason: str, line: int | None) -> Unreadable:
    return Unreadable([Problem(reason, None if line is None else line + 1)])
