"""Attention on a GPU: which kernel, and torch's flash kernel for sequences of any lengths, with dropout.

`torch.nn.attention.varlen.varlen_attn` calls the same operators with the dropout fixed at 0; here they are called with
one, and the kernel's random state goes to the backward pass, which draws the same bits again.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from bertune.system.feature_switches import is_disabled

_FORWARD: Final = (
    *("query", "key", "value", "cum_seq_q", "cum_seq_k", "max_q", "max_k"),
    *("dropout_p", "is_causal", "return_debug_mask"),
)
_BACKWARD: Final = (
    *("grad_out", "query", "key", "value", "out", "logsumexp", "cum_seq_q", "cum_seq_k", "max_q", "max_k"),
    *("dropout_p", "is_causal", "rng_state", "unused"),
)
# The flash kernels' own limits.
_LEAST_CAPABILITY: Final = (8, 0)
_HEAD_MULTIPLE: Final = 8
_MAX_HEAD: Final = 256
# bf16 has eight bits; a wrong mask or scale would be off by a tenth at least.
_TOLERANCE: Final = 0.03


@dataclass(frozen=True)
class AttentionKernel:
    """How attention is computed.

    Args:
        name: `varlen` is flash attention on packed tokens, `padded` torch's attention on rectangles, `plain` products
            and a softmax on rectangles.
        reason: why none of the kernels before it; empty for the first.
    """

    name: Literal["varlen", "padded", "plain"]
    reason: str = ""


_PLAIN: Final = AttentionKernel("plain")


def attention_kernel(device: torch.device, dtype: torch.dtype, head_size: int) -> AttentionKernel:
    """Returns the first kernel that computes rightly here; on a GPU each is tried once, on a small example.

    Args:
        device: where attention is computed.
        dtype: of queries, keys and values.
        head_size: columns of a head.
    """
    return _PLAIN if device.type != "cuda" else _chosen(device, dtype, head_size, is_disabled("varlen-attention"))


@cache
def _chosen(device: torch.device, dtype: torch.dtype, head_size: int, switched_off: bool) -> AttentionKernel:
    why = "it is switched off" if switched_off else why_not_varlen(device, dtype, head_size)
    if why is None:
        return AttentionKernel("varlen")
    reason = f"no variable-length attention: {why}"
    why = _failure(_check_padded, device, dtype, head_size)
    return AttentionKernel("plain" if why else "padded", f"{reason}; no padded attention: {why}" if why else reason)


def why_not_varlen(device: torch.device, dtype: torch.dtype, head_size: int) -> str | None:
    """Returns what keeps the flash kernel from computing here; None where it was tried and is right."""
    if dtype not in (torch.bfloat16, torch.float16):
        return f"it needs bf16, the layers compute in {str(dtype).removeprefix('torch.')}"
    if head_size % _HEAD_MULTIPLE or head_size > _MAX_HEAD:
        return f"heads have {head_size} columns, not a multiple of {_HEAD_MULTIPLE} up to {_MAX_HEAD}"
    if torch.cuda.get_device_capability(device) < _LEAST_CAPABILITY:
        return "the GPU is older than compute capability 8.0"
    return why_not_callable() or _failure(_check_varlen, device, dtype, head_size)


def why_not_callable() -> str | None:
    """Returns what is unknown about this torch's flash operators, whose arguments change between releases."""
    wrong = _unexpected("_flash_attention_forward", _FORWARD, results=4)
    return wrong or _unexpected("_flash_attention_backward", _BACKWARD, results=3)


def _unexpected(operator: str, arguments: tuple[str, ...], *, results: int) -> str | None:
    found = getattr(torch.ops.aten, operator, None)
    if found is None:
        return f"torch {torch.__version__} has no {operator}"
    schema = found.default._schema
    names = tuple(argument.name for argument in schema.arguments)
    needed = [argument.name for argument in schema.arguments[len(arguments) :] if not argument.has_default_value()]
    if names[: len(arguments)] != arguments or needed or len(schema.returns) < results:
        return f"torch {torch.__version__} calls {operator} otherwise"
    return None


class Stretches(NamedTuple):
    """Where sequences lie in a packed tensor.

    Args:
        cu: (sequences + 1,) int32, where each sequence starts, and the end of the last.
        longest: no sequence has more tokens.
    """

    cu: Tensor
    longest: int


class _VarlenAttention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, asking: Stretches, asked: Stretches, dropout: float
    ) -> Tensor:
        numbers = asking.longest, asked.longest, dropout, False
        mixed, logsumexp, rng_state, unused, *_ = torch.ops.aten._flash_attention_forward(
            *(query, key, value, asking.cu, asked.cu, *numbers, False)
        )
        ctx.save_for_backward(query, key, value, mixed, logsumexp, asking.cu, asked.cu, rng_state, unused)
        ctx.numbers = numbers
        output: Tensor = mixed
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, mixed, logsumexp, cu_queries, cu_keys, rng_state, unused = ctx.saved_tensors
        gradients = torch.ops.aten._flash_attention_backward(
            *(gradient.contiguous(), query, key, value, mixed, logsumexp, cu_queries, cu_keys),
            *ctx.numbers,
            *(rng_state, unused),
        )
        return *gradients[:3], None, None, None


def attend_varlen(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    asking: Stretches,
    asked: Stretches,
    dropout: float = 0.0,
) -> Tensor:
    """Attends within each sequence of packed tokens.

    The kernel draws eight random bits a probability: of 0.1 it drops 26/256, and scales the rest by 1 / 0.9.

    Args:
        query: (tokens that ask, heads, head size).
        key: (tokens, heads, head size).
        value: as `key`.
        asking: the sequences in `query`.
        asked: the sequences in `key` and `value`.
        dropout: of the probabilities.

    Returns:
        In the shape of `query`.
    """
    mixed: Tensor = _VarlenAttention.apply(  # type: ignore[no-untyped-call]
        query, key, value, asking, asked, dropout
    )
    return mixed


# ---- trying a kernel before relying on it -------------------------------------------------------------------------


def _failure(check: Any, device: torch.device, dtype: torch.dtype, head_size: int) -> str | None:
    """Runs a check; returns what went wrong, in one line."""
    try:
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            torch.manual_seed(0)
            check(device, dtype, head_size)
    except Exception as error:  # whatever a kernel of another release or card may raise: there is another way
        return " ".join(str(error).split())[:200] or type(error).__name__
    return None


def _check_varlen(device: torch.device, dtype: torch.dtype, head_size: int) -> None:
    """Compares with products and a softmax, without dropout; with dropout, the backward pass with the forward pass."""
    lengths = [3, 1, 60, 129]
    cu = torch.tensor([0, *torch.tensor(lengths).cumsum(0).tolist()], dtype=torch.int32, device=device)
    qkv = torch.randn(3, sum(lengths), 2, head_size, device=device).to(dtype).requires_grad_()
    weigh = torch.randn(sum(lengths), 2, head_size, device=device).to(dtype)

    def mix(dropout: float) -> Tensor:
        query, key, value = qkv.unbind(0)
        stretches = Stretches(cu, max(lengths))
        return attend_varlen(query, key, value, asking=stretches, asked=stretches, dropout=dropout)

    exact = torch.cat([_mix_exactly(part) for part in torch.split(qkv.float(), lengths, dim=1)])
    for found, expected in (
        (mix(0.0), exact),
        (torch.autograd.grad(mix(0.0), qkv, weigh)[0], torch.autograd.grad(exact, qkv, weigh.float())[0]),
    ):
        _compare(found, expected)
    # The output is linear in the values, so that <output, w> = <values, its gradient> if both saw the same mask.
    mixed = mix(0.5)
    gradient = torch.autograd.grad(mixed, qkv, mixed.detach())[0]
    _compare((qkv[2].float() * gradient[2].float()).sum(), mixed.float().square().sum())
    if torch.equal(mixed, mix(0.0)):
        raise RuntimeError("its dropout drops nothing")


def _check_padded(device: torch.device, dtype: torch.dtype, head_size: int) -> None:
    """Runs torch's attention with a mask and dropout, forward and backward."""
    qkv = torch.randn(3, 2, 2, 16, head_size, device=device).to(dtype).requires_grad_()
    mask = torch.ones(2, 1, 1, 16, dtype=torch.bool, device=device)
    query, key, value = qkv.unbind(0)
    mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=0.1)
    gradient = torch.autograd.grad(mixed.float().sum(), qkv)[0]
    if not bool(torch.isfinite(gradient).all()):
        raise RuntimeError("its gradients are not finite")


def _mix_exactly(qkv: Tensor) -> Tensor:
    """Maps (3, tokens, heads, head size) of one sequence to (tokens, heads, head size)."""
    query, key, value = (part.transpose(0, 1) for part in qkv.unbind(0))
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    return (torch.softmax(scores, dim=-1) @ value).transpose(0, 1)


def _compare(found: Tensor, expected: Tensor) -> None:
    error = float((found.detach().float() - expected.detach()).abs().max() / expected.detach().abs().max())
    if not error < _TOLERANCE:
        raise RuntimeError(f"it is off by {error:.2g}")
