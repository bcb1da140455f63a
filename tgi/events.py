"""Server-sent events, by the read: the events of all that arrived together, in one go. No I/O."""


class Events:
    """Cuts an event stream into the data of its events, as WHATWG's HTML says.

    A line ends with a line feed, a carriage return or both; what is no data, such as a comment or
    an event's name, is passed over.
    """

    def __init__(self) -> None:
        self._line: list[bytes] = []  # the beginning of the line that has not ended, in pieces
        self._data: list[bytes] = []  # of the event that has not ended
        self._returned = False  # whether a line feed would belong to the line's end before it

    def feed(self, part: bytes) -> list[str]:
        """The data of the events that are complete with this part; of none that has no data."""
        if self._returned and part.startswith(b"\n"):
            part = part[1:]
        self._returned = part.endswith(b"\r")
        if b"\r" in part:
            part = part.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = part.split(b"\n")
        rest = lines.pop()
        if lines and self._line:
            lines[0] = b"".join((*self._line, lines[0]))
            self._line = []
        if rest:
            self._line.append(rest)
        found = []
        data = self._data
        for line in lines:
            if line.startswith(b"data:"):
                data.append(line[6:] if line.startswith(b" ", 5) else line[5:])
            elif line == b"data":
                data.append(b"")
            elif not line and data:
                whole = b"\n".join(data)
                data.clear()
                if whole:
                    found.append(whole.decode("utf-8", "replace"))
        return found
