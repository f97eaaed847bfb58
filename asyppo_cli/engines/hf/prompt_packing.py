"""Responses to one prompt in one row: what their prompt costs is paid once.

A row is ``[prompt, response 1, ..., response k]``; positions go on from the prompt in every response, and an attention
mask lets a response see the prompt and itself. The numbers are those of k rows with a prompt each. Attention over a row
grows with its square, so a row takes a response in only as long as that is cheaper than a row of its own; long ones end
up alone, without a mask.
Shapes: ``B`` responses, ``P`` rows, ``S`` tokens of the longest row, ``N`` response tokens in all.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from asyppo_cli.engines.hf.microbatches import plan_micro_batches
from asyppo_cli.types import Sequences


class MicroBatch(NamedTuple):
    """A micro-batch: its responses, and how many after one another share a row, int64 ``[P]``; None: none do."""

    rows: Tensor
    sizes: Tensor | None


def plan_packing(batch: Sequences, token_budget: int, attention_crossover: float | None) -> list[MicroBatch]:
    """Micro-batches whose rows x longest row stay within the budget; see :func:`plan_micro_batches`.

    ``attention_crossover``: see :func:`find_attention_crossover`; None disables packing. Rows of one response form
    micro-batches of their own, which need no mask.
    """
    if attention_crossover is None:
        return [MicroBatch(rows, None) for rows in plan_micro_batches(batch.lengths, token_budget)]
    rows = [row for group in same_prompts(batch) for row in pack_rows(batch, group, token_budget, attention_crossover)]
    shared, separate = [row for row in rows if len(row) > 1], [row for row in rows if len(row) == 1]
    single = torch.tensor([row[0] for row in sorted(separate)], dtype=torch.long)
    parts = [MicroBatch(single[chosen], None) for chosen in plan_micro_batches(batch.lengths[single], token_budget)]
    responses, prompts = batch.response_lengths.tolist(), batch.prompt_lengths.tolist()
    lengths = torch.tensor([prompts[row[0]] + sum(responses[b] for b in row) for row in shared], dtype=torch.long)
    for chosen in plan_micro_batches(lengths, token_budget):
        packed = [shared[number] for number in chosen.tolist()]
        rows_of_packed = torch.tensor([b for row in packed for b in row])
        parts.append(MicroBatch(rows_of_packed, torch.tensor([*map(len, packed)])))
    return parts


def same_prompts(batch: Sequences) -> list[list[int]]:
    """Responses by prompt, in the order of the batch."""
    groups: dict[bytes, list[int]] = {}
    for row, (tokens, length) in enumerate(zip(batch.tokens, batch.prompt_lengths.tolist(), strict=True)):
        groups.setdefault(tokens[:length].numpy().tobytes(), []).append(row)
    return list(groups.values())


def pack_rows(batch: Sequences, group: list[int], token_budget: int, attention_crossover: float) -> Iterator[list[int]]:
    """Cut the responses to one prompt into rows, the shortest first.

    Costs are counted in tokens. Causal attention computes half of the square of its row, attention with a mask all.
    """
    prompt = int(batch.prompt_lengths[group[0]])
    length = dict(zip(group, batch.response_lengths[group].tolist(), strict=True))
    row: list[int] = []
    tokens, cost = 0, 0.0
    for response in sorted(group, key=length.__getitem__):
        separate = prompt + length[response]
        separate_cost = separate + separate**2 / (2 * attention_crossover)
        longer = tokens + length[response]
        joint_cost = longer + longer**2 / attention_crossover
        if row and longer <= token_budget and joint_cost <= cost + separate_cost:
            row.append(response)
            tokens, cost = longer, joint_cost
            continue
        if row:
            yield row
        row, tokens, cost = [response], separate, separate_cost
    yield row


class PackedRows(NamedTuple):
    """Rows as a model takes them.

    ``tokens`` and ``positions`` int64 ``[P, S]``; ``mask`` bool ``[P, 1, S, S]``, True where a token sees another;
    ``predicting`` int64 ``[N]``: where in the flattened rows the token before each response token is.
    """

    tokens: Tensor
    positions: Tensor
    mask: Tensor
    predicting: Tensor


def to_packed_rows(batch: Sequences, sizes: Tensor) -> PackedRows:
    """Put responses into rows; those of a row follow one another and have one prompt."""
    device = batch.tokens.device
    row = torch.arange(len(sizes), device=device).repeat_interleave(sizes)
    ends = batch.response_lengths.cumsum(0)
    before = ends - batch.response_lengths
    # Where a response begins in its row: behind the prompt and the responses in front of it.
    start = batch.prompt_lengths + before - before[sizes.cumsum(0) - sizes][row]
    width = int((start + batch.response_lengths).max())
    column = torch.arange(batch.tokens.shape[1], device=device)
    in_prompt = column < batch.prompt_lengths[:, None]
    moved = torch.where(in_prompt, column, column - batch.prompt_lengths[:, None] + start[:, None])
    flat = row[:, None] * width + moved
    owner = torch.where(in_prompt, 0, torch.arange(1, len(batch) + 1, device=device)[:, None])
    real = column < batch.lengths[:, None]

    def scatter(values: Tensor, fill: int) -> Tensor:
        rows = torch.full((len(sizes) * width,), fill, device=device)
        rows[flat[real]] = values[real]
        return rows.view(len(sizes), width)

    mask = visible(scatter(owner, -1))
    positions = scatter(column.expand_as(batch.tokens), 0)
    return PackedRows(scatter(batch.tokens, 0), positions, mask, flat[predicting_positions(batch)])


def visible(owner: Tensor) -> Tensor:
    """Which token sees which, bool ``[P, 1, S, S]``: itself and those before it, of the prompt (0) or its own response.

    ``owner`` ``[P, S]``; padding (-1) sees the prompt, for no row of a softmax may be empty.
    """
    causal = torch.ones(owner.shape[1], owner.shape[1], dtype=torch.bool, device=owner.device).tril()
    seen = owner[:, None, :]
    return (((seen == 0) | (seen == owner[:, :, None])) & causal)[:, None]


def predicting_positions(batch: Sequences) -> Tensor:
    """True where the *next* token is a response token, bool ``[B, S]``; row by row as many as the response has."""
    position = torch.arange(batch.tokens.shape[1], device=batch.tokens.device)
    start = batch.prompt_lengths[:, None] - 1
    return (position >= start) & (position < start + batch.response_lengths[:, None])


def predicting_outputs(model: Any, name: str, batch: Sequences, sizes: Tensor | None) -> Tensor:
    """What ``model`` calls ``name``, at the tokens in front of response tokens, row by row: ``[N, ...]``."""
    if sizes is None:
        whole: Tensor = getattr(model(input_ids=batch.tokens, use_cache=False), name)
        return whole[predicting_positions(batch)]
    rows = to_packed_rows(batch, sizes)
    output = model(input_ids=rows.tokens, attention_mask=rows.mask, position_ids=rows.positions, use_cache=False)
    packed: Tensor = getattr(output, name)
    return packed.flatten(0, 1)[rows.predicting]


def find_attention_crossover(backbone: Any) -> float | None:
    """Length of a row at which attention costs as much as everything else; None where prompts cannot be shared.

    A token costs two operations a weight, and four for every token it sees and every feature of a layer's attention.
    """
    if not supports_packing(backbone):
        return None
    config = backbone.config.get_text_config()
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    weights = sum(p.numel() for p in backbone.parameters()) - backbone.get_input_embeddings().weight.numel()
    return float(weights / (2 * config.num_hidden_layers * config.num_attention_heads * size))


@torch.no_grad()
def supports_packing(backbone: Any) -> bool:
    """Whether a model heeds mask and positions of a shared row. Tried, not guessed.

    What so short a try cannot show is asked: a window that slides over the row would count other responses too.
    """
    config = backbone.config.get_text_config()
    windows = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    takes = inspect.signature(backbone.forward).parameters.keys()
    if windows or getattr(config, "sliding_window", None) or not {"attention_mask", "position_ids"} <= takes:
        return False
    words = torch.arange(7) % config.vocab_size
    rows = torch.stack([words[:5], words[[0, 1, 2, 5, 6]]]).to(backbone.device)
    batch = Sequences(rows, torch.full_like(rows[:, 0], 3), torch.full_like(rows[:, 0], 2))
    sizes = torch.tensor([2], device=backbone.device)
    expected = predicting_outputs(backbone, "last_hidden_state", batch, None)
    try:
        shared = predicting_outputs(backbone, "last_hidden_state", batch, sizes)
    except (ValueError, RuntimeError, IndexError):
        # It takes masks of other forms only.
        return False
    packed = to_packed_rows(batch, sizes)
    unmasked = backbone(input_ids=packed.tokens, use_cache=False).last_hidden_state.flatten(0, 1)[packed.predicting]
    # Beside what it makes of the same row without a mask, since nobody knows how large its numbers are.
    return bool((shared - expected).norm() <= 1e-3 * (unmasked - expected).norm())
