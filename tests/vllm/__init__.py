"""vLLM's build for CPUs with a small real model: `make vllm` proves the samplers with it."""
