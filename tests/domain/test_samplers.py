"""The table of parameters, and what comes from outside checked against it."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.domain.errors import InvalidRequest
from playground.domain.samplers import BY_NAME, PARAMETERS, Parameter, Sampler, parse_sampler

NAMES = [
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "min_p",
]

parameters = st.sampled_from(PARAMETERS)


def test_holds_the_seven_of_the_model_page_in_its_order() -> None:
    assert [parameter.name for parameter in PARAMETERS] == NAMES


@pytest.mark.parametrize("parameter", PARAMETERS, ids=NAMES)
def test_a_parameter_is_described_soundly(parameter: Parameter) -> None:
    assert parameter.minimum <= parameter.neutral <= parameter.maximum
    assert 0 < parameter.step <= parameter.maximum - parameter.minimum
    assert parameter.help.endswith(".")
    steps = (parameter.neutral - parameter.minimum) / parameter.step
    assert math.isclose(steps, round(steps), abs_tol=1e-6), "the control cannot reach the neutral"


def numbers(parameter: Parameter) -> st.SearchStrategy[float]:
    low, high = parameter.minimum, parameter.maximum
    if parameter.integer:
        return st.integers(int(low), int(high))
    return st.floats(low, high).filter(lambda value: not parameter.skips(value))


@st.composite
def accepted(draw: st.DrawFn) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    for parameter in draw(st.lists(parameters, unique_by=lambda p: p.name)):
        values[parameter.name] = draw(st.none() | numbers(parameter))
    return values


@given(accepted())
def test_takes_every_value_in_range_and_leaves_the_rest_unset(
    values: dict[str, float | None],
) -> None:
    sampler = parse_sampler(values)
    assert sampler.set_values() == {
        name: values[name] for name in NAMES if values.get(name) is not None
    }
    assert parse_sampler(sampler.set_values()) == sampler


@given(parameter=parameters, value=st.floats(allow_nan=True, allow_infinity=True))
def test_refuses_every_value_out_of_range(parameter: Parameter, value: float) -> None:
    inside = parameter.minimum <= value <= parameter.maximum and not parameter.skips(value)
    whole = not parameter.integer or value.is_integer()
    if inside and whole:
        assert getattr(parse_sampler({parameter.name: value}), parameter.name) == value
        return
    with pytest.raises(InvalidRequest, match=parameter.name) as caught:
        parse_sampler({parameter.name: value}, "panes[0].sampler")
    assert caught.value.field == f"panes[0].sampler.{parameter.name}"


@pytest.mark.parametrize("value", ["0.7", True, [], {}, "NaN"])
@given(parameter=parameters)
def test_refuses_what_is_no_number(value: Any, parameter: Parameter) -> None:
    with pytest.raises(InvalidRequest, match="must be a number"):
        parse_sampler({parameter.name: value})


def test_refuses_an_unknown_name_and_says_which_there_are() -> None:
    with pytest.raises(
        InvalidRequest, match=r"typical_p is not a sampler parameter.*min_p"
    ) as error:
        parse_sampler({"typical_p": 0.9})
    assert error.value.field == "sampler.typical_p"
    with pytest.raises(InvalidRequest, match="must be an object"):
        parse_sampler([0.7])


def test_an_integer_parameter_stays_an_integer() -> None:
    assert repr(parse_sampler({"top_k": 40.0}).top_k) == "40"
    with pytest.raises(InvalidRequest, match="whole number"):
        parse_sampler({"top_k": 40.5})


def test_iterates_over_all_with_unset_as_none() -> None:
    pairs = {parameter.name: value for parameter, value in Sampler(min_p=0.1)}
    assert pairs == dict.fromkeys(BY_NAME) | {"min_p": 0.1}


@pytest.mark.parametrize("value", [5e-324, 1e-9, 0.001, 0.0099999])
def test_a_temperature_is_zero_or_far_enough_from_it(value: float) -> None:
    with pytest.raises(InvalidRequest, match=r"must be 0 or lie between 0\.01 and 2, and .* does"):
        parse_sampler({"temperature": value})
    assert parse_sampler({"temperature": 0.01}).temperature == 0.01
    assert str(parse_sampler({"temperature": -0.0}).temperature) == "0.0"
