"""A decoder of Mistral's architecture in torch: RMSNorm, RoPE, grouped-query attention, SwiGLU.

Attention is causal and nothing else: sequences of a batch are padded on the right in training.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes under their names in a Hugging Face config.json."""

    vocab_size: int = 2048
    hidden_size: int = 192
    num_hidden_layers: int = 4
    num_attention_heads: int = 6
    num_key_value_heads: int = 2
    intermediate_size: int = 512
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    @property
    def head_dim(self) -> int:
        """The width of one head."""
        return self.hidden_size // self.num_attention_heads


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE, half-split.

    Args:
        x: [batch, heads, sequence, head].
        cos: [sequence, head / 2].
        sin: [sequence, head / 2].
    """
    low, high = x.chunk(2, dim=-1)
    return torch.cat((low * cos - high * sin, high * cos + low * sin), dim=-1)


class Block(nn.Module):  # type: ignore[misc]  # torch is absent where types are checked
    """One layer: attention, then the gated feed-forward, each on a normalised copy."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        width, head = shape.hidden_size, shape.head_dim
        self.attention_norm = nn.Parameter(torch.ones(width))
        self.query = nn.Linear(width, shape.num_attention_heads * head, bias=False)
        self.key = nn.Linear(width, shape.num_key_value_heads * head, bias=False)
        self.value = nn.Linear(width, shape.num_key_value_heads * head, bias=False)
        self.output = nn.Linear(shape.num_attention_heads * head, width, bias=False)
        self.feed_forward_norm = nn.Parameter(torch.ones(width))
        self.gate = nn.Linear(width, shape.intermediate_size, bias=False)
        self.up = nn.Linear(width, shape.intermediate_size, bias=False)
        self.down = nn.Linear(shape.intermediate_size, width, bias=False)

    def normalise(self, x: Tensor, weight: Tensor) -> Tensor:
        """RMSNorm over the last axis."""
        return functional.rms_norm(x, (x.shape[-1],), weight, self.shape.rms_norm_eps)

    def heads(self, x: Tensor, count: int) -> Tensor:
        """[batch, sequence, width] cut into [batch, heads, sequence, head]."""
        return x.view(x.shape[0], x.shape[1], count, self.shape.head_dim).transpose(1, 2)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """The layer's output, of its input's shape.

        Args:
            x: [batch, sequence, hidden_size].
            cos: [sequence, head / 2].
            sin: [sequence, head / 2].
        """
        shape = self.shape
        normal = self.normalise(x, self.attention_norm)
        query = rotate(self.heads(self.query(normal), shape.num_attention_heads), cos, sin)
        key = rotate(self.heads(self.key(normal), shape.num_key_value_heads), cos, sin)
        value = self.heads(self.value(normal), shape.num_key_value_heads)
        group = shape.num_attention_heads // shape.num_key_value_heads
        mixed = functional.scaled_dot_product_attention(
            query.to(value.dtype),
            key.to(value.dtype).repeat_interleave(group, dim=1),
            value.repeat_interleave(group, dim=1),
            is_causal=True,
        )
        x = x + self.output(mixed.transpose(1, 2).flatten(2))
        normal = self.normalise(x, self.feed_forward_norm)
        return x + self.down(functional.silu(self.gate(normal)) * self.up(normal))


class Network(nn.Module):  # type: ignore[misc]  # as above
    """The whole model; the embedding is also the output layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.num_hidden_layers))
        self.norm = nn.Parameter(torch.ones(shape.hidden_size))
        nn.init.normal_(self.embedding.weight, std=0.02)
        for name, parameter in self.blocks.named_parameters():
            if parameter.dim() == 2:
                deep = name.endswith(("output.weight", "down.weight"))
                scale = (2 * shape.num_hidden_layers) ** -0.5 if deep else 1.0
                nn.init.normal_(parameter, std=scale * parameter.shape[1] ** -0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """The hidden states, [batch, sequence, hidden_size].

        Args:
            tokens: Ids, [batch, sequence].
        """
        shape = self.shape
        steps = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
        angles = torch.outer(
            torch.arange(tokens.shape[1], dtype=torch.float32), shape.rope_theta**-steps
        )
        cos, sin = angles.cos(), angles.sin()
        x = self.embedding(tokens)
        for block in self.blocks:
            x = block(x, cos, sin)
        return functional.rms_norm(x, (shape.hidden_size,), self.norm, shape.rms_norm_eps)

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits, [..., vocab_size].

        Args:
            hidden: [..., hidden_size].
        """
        return functional.linear(hidden, self.embedding.weight)
