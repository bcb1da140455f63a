"""From an engine's address to the engine."""

from playground.domain.prompt_formats import FORMATS
from playground.engines.base import Engine, EngineAddress
from playground.engines.llamacpp import LlamaCppEngine
from playground.engines.tgi import TGIEngine
from playground.settings import Settings


def default_address(settings: Settings) -> EngineAddress:
    """The engine that the settings name."""
    return EngineAddress(
        id="default",
        kind=settings.engine,
        url=settings.engine_url,
        api_key=settings.api_key(),
        model=settings.engine_model,
        prompt_format=FORMATS[settings.prompt_format] if settings.prompt_format else None,
        quantisation=settings.engine_quantisation,
    )


def make_engine(address: EngineAddress, *, patient: bool = True) -> Engine:
    """The engine of an address, not asked yet.

    Args:
        patient: Whether one that was never ready and refuses connections may be loading; else it
            is offline.
    """
    made = LlamaCppEngine if address.kind == "llamacpp" else TGIEngine
    return made.at(address) if patient else made.at(address, loading_for=0.0)
