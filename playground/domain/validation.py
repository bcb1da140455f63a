"""What comes from outside as JSON, checked by pydantic.

Here are bases for models, field types, and the one map of pydantic's errors to InvalidRequest.

A model is strict where JSON's types matter ("7" and true are no numbers; 7.0 is 7, as in JSON
Schema) and takes no name that it does not know. What is wrong is said in a sentence made of the
model's own JSON Schema, so that sentences and documentation cannot differ. A body that is wrong in
several places names the first of them, in its own order. The work is linear in a body's size, and
so few errors are collected that nobody is kept waiting by a body that is wrong everywhere.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Annotated, Any, Final, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
    model_validator,
    with_config,
)
from pydantic.types import GetPydanticSchema
from pydantic_core import PydanticCustomError, core_schema
from typing_extensions import TypedDict

from playground.domain.amounts import amount
from playground.domain.errors import InvalidRequest
from playground.domain.samplers import PARAMETERS, Parameter, Sampler

MAX_NEW_TOKENS: Final = 2**31 - 1
MAX_SEED: Final = 2**64 - 1
# A whole number beyond 64 bits was rounded when it was read, and would not come out as it came.
_BOUND: Final = 2.0**64
_DEEPEST: Final = 4
_SHOWN: Final = 60

# A name or an index in a body, and before it those that lead there.
Chain = tuple["Chain", str | int] | None
Model = TypeVar("Model", bound=BaseModel)


def few_names(value: object, most: int) -> object:
    """The value; of an object with more names than there are, so many that one is unknown.

    Of each unknown name pydantic makes an error.
    """
    if isinstance(value, dict) and len(value) > most:
        return dict(islice(value.items(), most + 1))
    return value


class Body(BaseModel):
    """An object with the fields that it names, and no others."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _few_names(cls, value: object) -> object:
        return few_names(value, len(cls.__pydantic_fields__))


class OpenBody(BaseModel):
    """An object with the fields that it names, and others that later versions may add."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    @model_validator(mode="after")
    def _plain_rest(self) -> Self:
        for name, value in (self.__pydantic_extra__ or {}).items():
            _check_plain(value, f".{shortened(name)}")
        return self


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _plain(value: object) -> object:
    _check_plain(value)
    return value


# Behind int and its bounds, it takes 7.0 for 7.
whole: Final = BeforeValidator(_whole)
NewTokens = Annotated[int, Field(ge=1, le=MAX_NEW_TOKENS), whole]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED), whole]
# Any JSON that comes out as it came, and is not so deep that to read it again would be a risk.
Plain = Annotated[Any, BeforeValidator(_plain)]
Number = Annotated[float, Field(gt=-_BOUND, lt=_BOUND, allow_inf_nan=False)]


def _range(parameter: Parameter, *, kept: bool) -> Any:
    """The type of a parameter's value. kept: whether it was taken once, and is told only."""
    bounds = Field(ge=parameter.minimum, le=parameter.maximum)
    if parameter.integer:
        return Annotated[int, bounds, whole]
    if kept or not parameter.smallest:
        return Annotated[float, bounds]

    def not_skipped(value: float) -> float:
        if parameter.skips(value):
            raise PydanticCustomError("range", "too close to 0")
        return value

    above = {"type": "number", "minimum": parameter.smallest, "maximum": parameter.maximum}
    schema = WithJsonSchema({"anyOf": [{"const": 0}, above]})
    return Annotated[float, bounds, AfterValidator(not_skipped), schema]


def _sampler(name: str, description: str, *, unset: bool) -> Any:
    """The type of a sampler in a body.

    unset: whether null may stand for a value not set; where it may not, the values are a record's.
    """
    fields = {
        each.name: Annotated[
            _range(each, kept=False) | None if unset else _range(each, kept=True),
            Field(description=each.help, examples=[each.neutral]),
        ]
        for each in PARAMETERS
    }
    typed: Any = TypedDict  # mypy knows none whose fields stand in a table
    made = typed(name, fields, total=False)
    made.__doc__ = description
    with_config(ConfigDict(strict=True, extra="forbid"))(made)
    return GetPydanticSchema(
        lambda _, handler: core_schema.no_info_after_validator_function(
            lambda values: Sampler(
                **{
                    name: None if value is None else value + 0  # of -0.0, 0.0
                    for name, value in values.items()
                }
            ),
            core_schema.no_info_before_validator_function(
                lambda value: few_names(value, len(fields)), handler(made)
            ),
        )
    )


SamplerValues = Annotated[
    Sampler,
    _sampler(
        "SamplerValues",
        "Values of the sampler's parameters. What is missing or null is unset: the engine chooses.",
        unset=True,
    ),
]
SetSamplerValues = Annotated[
    Sampler, _sampler("SetSamplerValues", "The sampler's parameters that are set.", unset=False)
]


def broken(words: str, at: str = "") -> PydanticCustomError:
    """What a validator raises.

    Args:
        words: A sentence.
        at: The place below the validated value.
    """
    return PydanticCustomError("broken", "{words}", {"words": words, "at": at})


def check(kind: type[Model], value: object) -> Model:
    """A value as the model has it.

    Raises:
        InvalidRequest: Something in it is wrong; names the field.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        raise _refusal_of(errors, kind, value) from error


def _refusal_of(errors: Sequence[Mapping[str, Any]], kind: Any, value: object) -> InvalidRequest:
    """What is wrong first.

    Args:
        errors: As pydantic lists them.
        kind: The type that was asked for.
    """
    first = min(errors, key=lambda each: _order(each["loc"], value))
    place = _Place(_schema(kind))
    for part in first["loc"]:
        place.enter(part)
    return place.refusal(first)


@cache
def _schema(kind: Any) -> Mapping[str, Any]:
    return TypeAdapter(kind).json_schema()


def _order(place: Iterable[str | int], value: object) -> list[float]:
    """By which errors are sorted as their places stand in the body; what is missing comes last."""
    order: list[float] = []
    for part in place:
        if isinstance(value, dict) and isinstance(part, str):
            if part in value:
                # No error lies behind more names than a model has: see Body.
                order.append(next(i for i, name in enumerate(value) if name == part))
                value = value[part]
            else:
                order.append(math.inf)
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            order.append(part)
            value = value[part]
    return order


class _Place:
    """A place in a body: its path, and the JSON Schema of what should stand there."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._defs = schema.get("$defs", {})
        self._schema = schema
        self._path = ""
        self._name = ""
        self._siblings: Sequence[str] = ()

    def enter(self, part: str | int) -> None:
        schema = self._resolved(self._schema, nullable=False)
        if branches := schema.get("oneOf"):  # a part of pydantic's, and none of the body
            named = schema.get("discriminator", {}).get("mapping", {})
            self._schema = next(
                branch
                for branch in branches
                if (named[part] == branch["$ref"] if named else part == self._type(branch))
            )
        elif isinstance(part, int):
            self._path += f"[{part}]"
            self._name = self._path
            self._schema = schema.get("items", {})
        else:
            self._siblings = list(schema.get("properties", {}))
            named = schema.get("properties", {}).get(part)
            rest = schema.get("additionalProperties")
            self._schema = named or (rest if isinstance(rest, dict) else {})
            self._name = shortened(part)
            self._path += f".{self._name}" if self._path else self._name

    def refusal(self, error: Mapping[str, Any]) -> InvalidRequest:
        context = error.get("ctx", {})
        at = context.get("at", "")
        tag = self._resolved(self._schema, nullable=False).get("discriminator", {})
        name = self._name or "The body"
        match error["type"]:
            case "broken":
                words = context["words"]
            case "extra_forbidden":
                known = ", ".join(self._siblings)
                words = f"{name} is not known here; there are {known}."
            case "missing":
                words = f"{name} is missing: it must be {self._words(self._schema)}."
            case "union_tag_invalid" | "union_tag_not_found" if tag:
                at = f".{tag['propertyName']}"
                words = f"{tag['propertyName']} must be one of {', '.join(tag['mapping'])}."
            case _:
                words = f"{name} must be {self._words(self._schema)}."
        return InvalidRequest(words, field=f"{self._path}{at}".lstrip(".") or "body")

    def _resolved(self, schema: Mapping[str, Any], *, nullable: bool = True) -> Mapping[str, Any]:
        while reference := schema.get("$ref"):
            schema = self._defs[reference.rpartition("/")[2]]
        if not nullable and "anyOf" in schema:
            kinds = [each for each in schema["anyOf"] if each.get("type") != "null"]
            return self._resolved(kinds[0]) if len(kinds) == 1 else schema
        return schema

    def _type(self, schema: Mapping[str, Any]) -> str:
        return str(self._resolved(schema).get("type", "value"))

    def _words(self, schema: Mapping[str, Any]) -> str:
        """What a schema asks for."""
        schema = self._resolved(schema)
        for several in ("anyOf", "oneOf"):
            if several in schema:
                words = [self._words(each) for each in schema[several]]
                if words[-1] == "null":
                    return f"{' or '.join(words[:-1])}, or null"
                return " or ".join(dict.fromkeys(words))
        if "const" in schema:
            return str(schema["const"])
        if "enum" in schema:
            return f"one of {', '.join(map(str, schema['enum']))}"
        match schema.get("type"):
            case "string":
                return "a text" + _counted(schema, "Length", "character")
            case "array":
                items = self._type(schema.get("items", {}))
                return f"a list{_counted(schema, 'Items', _NOUNS.get(items, items))}"
            case "integer":
                return "a whole number" + _bounds(schema)
            case "number":
                return "a number" + _bounds(schema)
            case "boolean":
                return "true or false"
            case "null":
                return "null"
            case _:
                return "an object"


_NOUNS: Final = {"string": "text", "object": "object", "array": "list", "integer": "number"}


def _counted(schema: Mapping[str, Any], of: str, noun: str) -> str:
    least, most = schema.get(f"min{of}", 0), schema.get(f"max{of}")
    if most is None:
        return " that is not empty" if least else (f" of {noun}s" if of == "Items" else "")
    if not least:
        return f" of at most {amount(most, noun)}"
    if least == most:
        return f" of {amount(most, noun)}"
    return f" of {least:,} to {most:,} {noun}s"


def _bounds(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMaximum" in schema:
        return " of at most 64 bits"
    if least is None:
        return ""
    return f" from {_figure(least)}" + ("" if most is None else f" to {_figure(most)}")


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def shortened(text: str) -> str:
    """A name that somebody sent, which may have any length."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _check_plain(value: object, at: str = "") -> None:
    """Raises for a number beyond 64 bits, and for what is nested too deeply. at: the value's place.

    Places are put into words only for what is refused: there may be as many as there are numbers.
    """
    level: list[tuple[Chain, Any]] = [(None, [value])]
    for depth in range(_DEEPEST + 1):
        deeper: list[tuple[Chain, Any]] = []
        for chain, outer in level:
            for key, each in outer.items() if isinstance(outer, dict) else enumerate(outer):
                if isinstance(each, float):
                    if abs(each) >= _BOUND:
                        raise _beneath("A number must have at most 64 bits.", at, (chain, key))
                elif isinstance(each, dict | list):
                    if depth == _DEEPEST:
                        raise _beneath("This must be less deep.", at, (chain, key))
                    deeper.append(((chain, key), each))
        level = deeper


def _beneath(words: str, at: str, chain: Chain) -> PydanticCustomError:
    return broken(words, at + path_of(chain).removeprefix("[0]"))


def path_of(chain: Chain) -> str:
    """The path below a body that a chain of names and indexes leads along, the last one first."""
    parts: list[str] = []
    while chain is not None:
        chain, key = chain
        parts.append(f"[{key}]" if isinstance(key, int) else f".{shortened(key)}")
    return "".join(reversed(parts))
