"""Where roles live and how a batch is cut into optimizer steps, from ROLL's devices and per-device batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asyppo_cli.config.roll.devices import as_block, read_devices
from asyppo_cli.config.roll.sheet import Sheet

DIVIDED_BY = ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size")


@dataclass(frozen=True)
class Block:
    """Neighbouring GPUs."""

    first: int
    count: int

    def overlaps(self, other: Block) -> bool:
        """Whether a GPU is in both."""
        return self.first < other.first + other.count and other.first < self.first + self.count


def read_placement(sheet: Sheet, critics: Sequence[str]) -> tuple[Block | None, Block | None]:
    """The GPUs of policy and critics, set along with the sampler's; None where the file names none.

    Raises:
        ValueError: a device mapping that is none.
    """
    sheet.choose("cluster", "ray", note="roles as groups of Ray actors")
    policy = _block(sheet, ["actor_train"], "cluster.policy")
    shared = _block(sheet, critics, "cluster.critics") if critics else None
    sampler = _block(sheet, ["actor_infer"], "cluster.sampler")
    if sampler is None and (sampler := shared or policy) is not None:
        _place(sheet, "cluster.sampler", sampler, note=f"beside the {'critics' if shared else 'policy'}")
    if sheet.settings.get("rollout.async_generate_level") == 0 and sampler and policy and sampler.overlaps(policy):
        sheet.set("sampler.vllm.sleep", True, note="it takes turns with the policy on the same GPUs")
    return policy, shared


def _block(sheet: Sheet, roles: Sequence[str], ours: str) -> Block | None:
    """The block of GPUs of some roles together."""
    keys = [f"{role}.device_mapping" for role in roles if sheet.get(f"{role}.device_mapping") is not None]
    devices: list[int] = []
    for key in keys:
        try:
            devices += read_devices(sheet.get(key))
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from error
    block = as_block(devices)
    if block is None:
        for key in keys:
            sheet.ignore(key, f"a role's GPUs are neighbours here: set {ours}.first_gpu and {ours}.ranks")
        return None
    _place(sheet, ours, Block(*block), *keys)
    return Block(*block)


def _place(sheet: Sheet, ours: str, block: Block, *keys: str, note: str = "") -> None:
    sheet.set(f"{ours}.ranks", block.count, *keys, note=note)
    sheet.set(f"{ours}.first_gpu", block.first, *keys, note=note)


def read_batches(sheet: Sheet, role: str, ours: str, block: Block | None, responses: int) -> int | None:
    """Optimizer steps per pass over ``responses``; returns the role's batch per device.

    ROLL steps after per-device batch x accumulation x data-parallel ranks responses; here a share of responses is cut
    into ``mini_batches`` as equal as can be.
    """
    size, parts = (
        f"{role}.training_args.per_device_train_batch_size",
        f"{role}.training_args.gradient_accumulation_steps",
    )
    per_device, accumulated = sheet.get(size), sheet.get(parts, 1)
    if not isinstance(per_device, int) or not isinstance(accumulated, int) or min(per_device, accumulated) < 1:
        return None
    ranks = _data_parallel(sheet, role, block)
    step = per_device * accumulated * ranks
    count = max(1, round(responses / step))
    sum_ = f"{per_device} x {accumulated} x {ranks} = {step} responses a step"
    if step > responses:
        note = f"{sum_}, more than the {responses} there are"
    elif responses % step:
        note = f"{sum_} do not divide {responses}: {count} steps of about {responses // count}"
    else:
        note = f"{sum_}, of {responses}"
    sheet.set(f"{ours}.mini_batches", count, parts, note=note)
    return per_device


def _data_parallel(sheet: Sheet, role: str, block: Block | None) -> int:
    """Ranks that hold different responses: GPUs, less those that share a model under Megatron."""
    ranks = 1 if block is None else block.count
    for name in DIVIDED_BY:
        key = f"{role}.strategy_args.strategy_config.{name}"
        shared = sheet.get(key, 1)
        if isinstance(shared, int) and shared > 1:
            sheet.ignore(key, "counted among what a step's responses are divided by; ZeRO shares out weights here")
            ranks = max(1, ranks // shared)
    return ranks


def read_micro_batches(sheet: Sheet, per_device: dict[str, int | None]) -> None:
    """The token budget that holds as many responses of full length as the largest batch per device."""
    found = {role: size for role, size in per_device.items() if size is not None}
    whole = [sheet.settings.get(f"rollout.{part}_length") for part in ("prompt", "response")]
    if not found or not all(isinstance(length, int) for length in whole):
        return
    keys = [f"{role}.training_args.per_device_train_batch_size" for role in found]
    tokens = max(found.values()) * sum(length for length in whole if isinstance(length, int))
    sheet.set("learner.micro_batch_tokens", tokens, *keys, note="as many responses of full length")
