"""What models are called, by the ids that Hubs, files and engines have for them."""

import pytest

from playground.domain.models import combined, label

SCORE = "AlpacaEval 33.23 (length-controlled 29.71)"


@pytest.mark.parametrize(
    ("model_id", "quantisation"),
    [
        ("ContextualAI/Contextual_KTO_Mistral_PairRM", ""),
        ("featherless-ai-quants/ContextualAI-Contextual_KTO_Mistral_PairRM-GGUF", ""),
        ("featherless-ai-quants/ContextualAI-Contextual_KTO_Mistral_PairRM-GGUF:Q4_K_M", "Q4_K_M"),
        ("asedmammad/Contextual_KTO_Mistral_PairRM-GGUF", ""),
        ("ContextualAI-Contextual_KTO_Mistral_PairRM-Q4_K_M.gguf", "Q4_K_M"),
        ("/models/contextual_kto_mistral_pairrm.Q8_0.gguf", "Q8_0"),
        ("contextual-kto-mistral-pairrm.i1-IQ3_XXS.gguf", "IQ3_XXS"),
        (r"C:\models\Contextual_KTO_Mistral_PairRM.f16.gguf", "F16"),
        ("Contextual_KTO_Mistral_PairRM-Q6_K-00001-of-00002.gguf", "Q6_K"),
        ("some/Contextual_KTO_Mistral_PairRM-AWQ", "AWQ"),
        ("/data/Contextual_KTO_Mistral_PairRM/", ""),
    ],
)
def test_the_default_model_is_known_by_all_of_its_names(model_id: str, quantisation: str) -> None:
    shown = label(model_id, "llama.cpp b11549", "")
    assert (shown.title, shown.is_default) == ("KTO Mistral 7B", True)
    assert shown.badge == " · ".join(filter(None, [quantisation, "llama.cpp"]))
    assert shown.score == SCORE


@pytest.mark.parametrize(
    ("model_id", "title"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "SmolLM2-135M-Instruct"),
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct"),
        ("mistralai/Mistral-7B-Instruct-v0.2", "Mistral-7B-Instruct-v0.2"),
        ("me/Contextual_KTO_Mistral_PairRM-finetuned", "Contextual_KTO_Mistral_PairRM-finetuned"),
        ("Not_Contextual_KTO_Mistral_PairRM", "Not_Contextual_KTO_Mistral_PairRM"),
        ("ContextualAI/Contextual_KTO_Mistral_PairRM/other", "other"),
        ("Qwen/Qwen2.5-0.5B", "Qwen2.5-0.5B"),
        ("q4_0.gguf", "q4_0"),
        ("GGUF", "GGUF"),
        ("a\n<b>\t c", "a <b> c"),
        ("x" * 100, "x" * 59 + "…"),
    ],
)
def test_any_other_has_its_own_name_and_no_score(model_id: str, title: str) -> None:
    shown = label(model_id, "TGI 3.3.7", "FP8")
    assert (shown.title, shown.badge) == (title, "FP8 · TGI")
    assert (shown.score, shown.is_default) == ("", False)


@pytest.mark.parametrize(
    ("engine", "badge"),
    [
        ("TGI 3.3.7", "TGI"),
        ("TGI stand-in 3.3.7-dev0", "TGI stand-in"),
        ("llama.cpp b11549", "llama.cpp"),
        ("llama.cpp", "llama.cpp"),
        ("vLLM 0.32.0", "vLLM"),
        ("api.featherless2.ai", "api.featherless2.ai"),
        ("", ""),
    ],
)
def test_the_badge_names_the_engine_without_its_version(engine: str, badge: str) -> None:
    assert label("some/model", engine, "").badge == badge


def test_what_the_engine_tells_goes_before_what_the_name_says() -> None:
    assert label("model-Q4_0.gguf", "llama.cpp b1", "Q4_1").badge == "Q4_1 · llama.cpp"


def test_several_models_are_one_label() -> None:
    own = label("ContextualAI/Contextual_KTO_Mistral_PairRM", "TGI 3.3.7", "FP8")
    small = label("Contextual_KTO_Mistral_PairRM-Q4_K_M.gguf", "llama.cpp b1", "Q4_K_M")
    other = label("HuggingFaceTB/SmolLM2-135M-Instruct", "llama.cpp b1", "Q4_1")
    assert combined([]) is None
    assert combined([own, own]) == own
    twice = combined([own, small, own])
    assert twice is not None
    assert (twice.title, twice.badge) == ("KTO Mistral 7B", "FP8 · TGI and Q4_K_M · llama.cpp")
    assert (twice.score, twice.is_default) == (SCORE, True)
    both = combined([other, own])
    assert both is not None
    assert both.title == "SmolLM2-135M-Instruct and KTO Mistral 7B"
    assert (both.score, both.is_default) == ("", False)
    many = combined([own, other, label("third", "vLLM 1", "")])
    assert many is not None
    assert (many.title, many.badge) == ("3 models", "")
