"""From the settings to the engines' addresses, and from an address to its engine."""

from playground.domain.prompt_formats import FORMATS
from playground.engines.base import EngineAddress, ProvableEngine
from playground.engines.detection import DetectedEngine
from playground.engines.engines_file import read_engines
from playground.engines.llamacpp import LlamaCppEngine
from playground.engines.openai import OpenAIEngine
from playground.engines.readiness import LOADING_S
from playground.engines.registry import DEFAULT, Engines
from playground.engines.tgi import TGIEngine
from playground.settings import Settings


def engine_addresses(settings: Settings) -> tuple[EngineAddress, ...]:
    """The engines that the settings name, the default first: of the file, or the single one.

    Raises:
        SettingsError: The file with the engines cannot be used.
    """
    if settings.engines_file is not None:
        return read_engines(settings.engines_file)
    return (_single_address(settings),)


def _single_address(settings: Settings) -> EngineAddress:
    return EngineAddress(
        id=DEFAULT,
        kind=settings.engine,
        url=settings.engine_url,
        api_key=settings.api_key(),
        model=settings.engine_model,
        prompt_format=FORMATS[settings.prompt_format] if settings.prompt_format else None,
        quantisation=settings.engine_quantisation,
    )


def make_engine(address: EngineAddress, *, patient: bool = True) -> ProvableEngine:
    """The engine of an address, not asked yet.

    Args:
        patient: Whether one that was never ready and refuses connections may be loading; else it
            is offline.
    """
    loading_for = LOADING_S if patient else 0.0
    match address.kind:
        case "tgi":
            return TGIEngine.at(address, loading_for=loading_for)
        case "llamacpp":
            return LlamaCppEngine.at(address, loading_for=loading_for)
        case "auto":
            return DetectedEngine(
                address,
                lambda found: make_engine(found, patient=patient),
                loading_for=loading_for,
            )
        case _:
            return OpenAIEngine.at(address, loading_for=loading_for)


def make_engines(settings: Settings) -> Engines:
    """All engines that the settings name, not asked yet.

    Raises:
        SettingsError: The file with the engines cannot be used.
    """
    addresses = engine_addresses(settings)
    return Engines(addresses, tuple(make_engine(address) for address in addresses))
