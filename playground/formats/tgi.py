"""A sampler in the words of Text Generation Inference: what has an effect there, and nothing else.

TGI refuses neutral values of some parameters, so all are left out. It samples when do_sample is
true or when temperature, top_k or top_p is anything but neutral (has_warpers in its
utils/tokens.py): so greedy decoding leaves those out too, which do not change which token is the
likeliest. With no temperature it samples at 1.0 when there is a top_k, top_p or min_p to sample
within, and is greedy when there is none: TGI's own choice, said by do_sample.
"""

from collections.abc import Collection
from typing import Final

from playground.domain.samplers import BY_NAME, Sampler
from playground.formats.named_values import NARROWING

# From here on a number becomes 1 in float32, which is refused.
_ONE: Final = 1 - 2**-25


def name_values(sampler: Sampler, applied: Collection[str]) -> dict[str, object]:
    """The parameters to send.

    Args:
        applied: The names of those that the server applies.
    """
    values = {
        name: value
        for name, value in sampler.set_values().items()
        if name in applied and value != BY_NAME[name].neutral
    }
    if values.get("top_p", 0.0) >= _ONE:
        del values["top_p"]
    greedy = sampler.temperature == 0 or (
        sampler.temperature is None and not any(name in values for name in NARROWING)
    )
    if greedy:
        for name in ("temperature", *NARROWING):
            values.pop(name, None)
    return {**values, "do_sample": not greedy}
