"""A sampler in the words of llama.cpp's server: every parameter, the unset ones neutral.

Its defaults are not neutral (temperature 0.8, top_k 40, top_p 0.95, min_p 0.05), and whoever starts
it can change them: what is left out would be whatever they are. A temperature of 0 is greedy there.
"""

from playground.domain.samplers import Sampler


def name_values(sampler: Sampler) -> dict[str, float]:
    """The parameters to send."""
    return {
        parameter.names["llamacpp"]: parameter.neutral if value is None else value
        for parameter, value in sampler
    }
