"""Frozen values and the product's errors: messages, prompt, presets, the samplers' table."""
