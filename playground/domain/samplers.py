"""The one table of the seven sampler parameters.

Controls, validation, receipts, import, export and documentation are made from `PARAMETERS`; no
other place knows a range, a step, a neutral value or what others call a parameter. Meaning and
order are those of Hugging Face transformers and vLLM: repetition (prompt and output) → frequency
and presence (output counts) → temperature → top_k → top_p → min_p.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Final, TypeGuard

from playground.domain.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Parameter:
    """One sampler parameter.

    Attributes:
        minimum: Both included.
        maximum: Both included.
        step: Of the control; a value need not lie on it.
        neutral: The value with which the parameter has no effect.
        names: What a format of others (playground/formats) calls it; absent where it has no such
            thing.
        smallest: The least value above 0. Closer to it no engine computes what is meant: logits
            divided by such a temperature are no numbers any more.
    """

    name: str
    minimum: float
    maximum: float
    step: float
    neutral: float
    integer: bool
    help: str
    names: Mapping[str, str] = field(default_factory=dict)
    smallest: float = 0.0

    @property
    def rule(self) -> str:
        """What a value must do, in words."""
        if self.smallest:
            return f"be 0 or lie between {self.smallest:g} and {self.maximum:g}"
        return f"lie between {self.minimum:g} and {self.maximum:g}"

    def skips(self, value: object) -> TypeGuard[float]:
        """Whether a value is too close to 0, and not 0."""
        return isinstance(value, int | float) and 0 < value < self.smallest


def _called(name: str, *same: str, **other: str) -> dict[str, str]:
    """The formats that call a parameter by our name, and those that have a name of their own."""
    return {**dict.fromkeys(same, name), **other}


_LOCAL: Final = ("page", "vllm", "python", "llamacpp", "ollama", "modelfile", "textgen")
_WIDE: Final = (*_LOCAL, "openai", "tgi", "transformers")

PARAMETERS: Final[tuple[Parameter, ...]] = (
    Parameter(
        "temperature", 0.0, 2.0, 0.05, 1.0, False,
        "Scales how far the choice may stray from the likeliest token; 0 always takes it (greedy).",
        _called("temperature", *_WIDE, "koboldcpp", "lmstudio", sillytavern="temp",
                llamacpp_command="--temp"), 0.01,
    ),
    Parameter(
        "top_p", 0.01, 1.0, 0.01, 1.0, False,
        "Keeps the smallest set of tokens whose probabilities add up to this share.",
        _called("top_p", *_WIDE, "sillytavern", "koboldcpp", lmstudio="topPSampling",
                llamacpp_command="--top-p"),
    ),
    Parameter(
        "top_k", 0, 200, 1, 0, True,
        "Keeps only this many of the likeliest tokens; 0 keeps all.",
        _called("top_k", *_LOCAL, "tgi", "transformers", "sillytavern", "koboldcpp",
                lmstudio="topKSampling", llamacpp_command="--top-k"),
    ),
    Parameter(
        "frequency_penalty", -2.0, 2.0, 0.05, 0.0, False,
        "Makes a token less likely each time that it has already been written.",
        _called("frequency_penalty", *_LOCAL, "openai", "tgi", sillytavern="freq_pen",
                llamacpp_command="--frequency-penalty"),
    ),
    Parameter(
        "presence_penalty", -2.0, 2.0, 0.05, 0.0, False,
        "Makes a token less likely once it has been written at all.",
        _called("presence_penalty", *_LOCAL, "openai", "koboldcpp",
                sillytavern="presence_pen", llamacpp_command="--presence-penalty"),
    ),
    Parameter(
        "repetition_penalty", 0.5, 2.0, 0.01, 1.0, False,
        "Weakens every token that stands in the prompt or the answer; above 1 avoids repeating.",
        _called("repetition_penalty", "page", "vllm", "python", "textgen", "tgi", "transformers",
                llamacpp="repeat_penalty", ollama="repeat_penalty", modelfile="repeat_penalty",
                sillytavern="rep_pen", koboldcpp="rep_pen", lmstudio="repeatPenalty",
                llamacpp_command="--repeat-penalty"),
    ),
    Parameter(
        "min_p", 0.0, 1.0, 0.01, 0.0, False,
        "Drops tokens less likely than this share of the likeliest one's probability.",
        _called("min_p", *_LOCAL, "transformers", "sillytavern", "koboldcpp",
                lmstudio="minPSampling", llamacpp_command="--min-p"),
    ),
)  # fmt: skip

BY_NAME: Final[Mapping[str, Parameter]] = {p.name: p for p in PARAMETERS}


@dataclass(frozen=True, slots=True)
class Sampler:
    """Values of the seven parameters; ``None`` is unset, which leaves the choice to the engine."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    min_p: float | None = None

    def __iter__(self) -> Iterator[tuple[Parameter, float | None]]:
        """The parameters in the table's order, each with its value or ``None``."""
        for parameter in PARAMETERS:
            yield parameter, getattr(self, parameter.name)

    def set_values(self) -> dict[str, float]:
        """The parameters that are set, in the table's order."""
        return {p.name: value for p, value in self if value is not None}


assert tuple(f.name for f in fields(Sampler)) == tuple(BY_NAME)


def parse_value(parameter: Parameter, value: object, field: str) -> float | None:
    """One value as it came from outside, checked against the table.

    ``None`` stays ``None``. A bool is no number; an integer parameter takes 40.0 as 40.

    Raises:
        InvalidRequest: It is no finite number in the parameter's range; names `field`.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidRequest(
            f"{parameter.name} must be a number or null, not {type(value).__name__}.", field=field
        )
    if parameter.integer and value != value // 1:
        raise InvalidRequest(
            f"{parameter.name} must be a whole number, not {shown_number(value)}.",
            field=field,
        )
    if not parameter.minimum <= value <= parameter.maximum or parameter.skips(value):
        raise InvalidRequest(
            f"{parameter.name} must {parameter.rule}, and {shown_number(value)} does not.",
            field=field,
        )
    return int(value) if parameter.integer else float(value) + 0.0  # which -0.0 becomes, too


def shown_number(value: float) -> str:
    """A number as a sentence names it; one of thousands of digits is said not to be shown."""
    if isinstance(value, int) and abs(value) >= 2**64:
        return "a number beyond 64 bits"
    return str(value)


def parse_sampler(values: object, field: str = "sampler") -> Sampler:
    """A sampler from an object of names and values as it came from outside.

    Names that are missing stay unset.

    Raises:
        InvalidRequest: Names the field for an unknown name or a value out of range.
    """
    if not isinstance(values, Mapping):
        raise InvalidRequest(f"{field} must be an object of parameter values.", field=field)
    parsed: dict[str, float | None] = {}
    for name, value in values.items():
        parameter = BY_NAME.get(str(name))
        if parameter is None:
            raise InvalidRequest(
                f"{name} is not a sampler parameter; there are {', '.join(BY_NAME)}.",
                field=f"{field}.{name}",
            )
        parsed[parameter.name] = parse_value(parameter, value, f"{field}.{name}")
    return Sampler(**parsed)  # type: ignore[arg-type]  # parse_value gives an int where one is due
