"""How long a refusal asks to be left alone (RFC 9110, 10.2.3), in whatever a server may write."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tgi.decoding import RETRY_AFTER_MAX_S, error_answer


def seconds(value: str) -> float | None:
    return error_answer(503, {"retry-after": value}, b"").retry_after


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("000", 0.0),
        ("1", 1.0),
        ("0120", 120.0),
        ("86399", 86_399.0),
        ("86400", RETRY_AFTER_MAX_S),
        ("86401", RETRY_AFTER_MAX_S),
        ("9" * 400, RETRY_AFTER_MAX_S),
        ("9" * 5000, RETRY_AFTER_MAX_S),  # more digits than int() takes
        ("0" * 5000, 0.0),
        ("", None),
        ("-1", None),
        ("-0000", None),
        ("+5", None),
        ("1.5", None),
        ("1_000", None),
        ("1e3", None),
        ("0x10", None),
        ("٣", None),
        ("5, 5", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("Sun, 06 Nov 1994", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0.0),
        ("Sun, 06 Nov 1994 08:49:37 -0000", 0.0),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 0.0),
        ("Sun Nov  6 08:49:37 1994", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX_S),
        ("Fri, 31 Dec 9999 23:59:59 -2300", RETRY_AFTER_MAX_S),
        ("Sun, 06 Nov 1994 08:49:37 +9999", None),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov " + "9" * 400 + " 08:49:37 GMT", None),
    ],
)
def test_digits_or_a_date(value: str, expected: float | None) -> None:
    assert seconds(value) == expected


def test_none_is_named() -> None:
    assert error_answer(503, {}, b"").retry_after is None


@given(st.integers(-(10**6), 10**6), st.sampled_from(["%s GMT", "%s -0000", "%s +0000", "asctime"]))
def test_a_date_is_so_far_from_now(ahead: int, form: str) -> None:
    """A date has whole seconds."""
    then = datetime.now(UTC) + timedelta(seconds=ahead)
    if form == "asctime":
        value = then.strftime("%a %b %d %H:%M:%S %Y")
    else:
        value = form % format_datetime(then, usegmt=True).removesuffix(" GMT")
    before = (then - datetime.now(UTC)).total_seconds()
    left = seconds(value)
    assert left is not None
    assert 0 <= left <= RETRY_AFTER_MAX_S
    assert left <= max(0.0, before)
    assert left >= min((then - datetime.now(UTC)).total_seconds() - 1, RETRY_AFTER_MAX_S)


_DATES = st.from_regex(
    r"(Sun,? )?-?[0-9]{1,5}[ -]Nov[ -][0-9]{0,6} [0-9]{1,3}:[0-9]{1,3}(:[0-9]{1,3})? "
    r"(GMT|[A-Z]{3}|[+-][0-9]{1,9})?",
    fullmatch=True,
)


@given(st.text() | st.integers().map(str) | st.from_regex(r"[-+]?[0-9]+", fullmatch=True) | _DATES)
def test_nothing_a_server_writes_is_more_than_a_time_or_none(value: str) -> None:
    left = seconds(value)
    assert left is None or 0 <= left <= RETRY_AFTER_MAX_S
