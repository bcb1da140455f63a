"""What is nearly right: bytes and texts that Hypothesis has changed in a few places."""

from hypothesis import strategies as st

# What parsers stumble over, beside single bytes.
_AWKWARD = [
    *(b"\x00", b"\r", b"\n", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b"\xc3", b"\xf0\x9f", b"\x80"),
    *(b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xc2\x85", b"\\ud800", b"\\u0000", b"\x1b[2J"),
    *(b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b":", b",", b"=", b"&", b"%", b"#", b"-", b"<"),
    *(b"null", b"NaN", b"1e999", b"-1", b"9" * 30, b"true", b"[" * 50, b'{"a":' * 20, b"!!python"),
    *(b"data:", b"data: [DONE]\n\n", b": x\n\n", b"event: error\n", b"id: 1\n", b"retry: 1\n"),
]


@st.composite
def mutated(draw: st.DrawFn, seeds: st.SearchStrategy[bytes], most: int = 6) -> bytes:
    """One of the seeds with up to so many changes: cut, doubled, moved, replaced, put in."""
    data = draw(seeds)
    for _ in range(draw(st.integers(0, most))):
        start = draw(st.integers(0, len(data)))
        stop = min(len(data), start + draw(st.sampled_from([0, 1, 2, 5, 20, 200])))
        part = data[start:stop]
        new = draw(
            st.sampled_from([b"", part + part, part[::-1], part.upper()])
            | st.sampled_from(_AWKWARD)
            | st.binary(max_size=4)
        )
        data = data[:start] + new + data[stop:]
    return data


def mutated_text(seeds: st.SearchStrategy[str], most: int = 6) -> st.SearchStrategy[str]:
    """Likewise, of texts; in the place of what is no UTF-8 any more stands the sign for that."""
    return mutated(seeds.map(str.encode), most).map(lambda data: data.decode("utf-8", "replace"))
