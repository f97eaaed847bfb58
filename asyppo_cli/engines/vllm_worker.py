"""What asyppo adds to each of vLLM's workers: its sampler, loading of new weights, and reading them back.

vLLM mixes this class into its worker (``worker_extension_cls``). On a CPU it packs matrices for their kernels and drops
the originals, so a matrix is read back through its kernel: the product with unit vectors is its columns, exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from asyppo_cli.engines.manifest import Entry, Manifest, Reading, checksum, differences, entry, sampled_columns
from asyppo_cli.engines.weight_sync import Slot, end_of, views

Readings = dict[str, Reading]


class WorkerExtension:
    """Methods of a vLLM worker, called by name through ``collective_rpc``."""

    model_runner: Any
    _asyppo_buffer: Tensor | None = None

    def asyppo_install(self) -> None:
        """Have the sampler report full-softmax log-probabilities."""
        # Imports vLLM's samplers, which only a worker has any use for.
        from asyppo_cli.engines.vllm_logprobs import install

        install(self.model_runner)

    def asyppo_load(self, file: str | None, slots: Mapping[str, Slot], manifest: Manifest) -> tuple[Readings, Readings]:
        """Load the weights that lie in a shared file (None: the one of last time).

        Returns readings of what arrived, and of what the model then holds. Nothing is loaded of what arrived broken.
        """
        if file is not None:
            self._asyppo_buffer = torch.from_file(file, shared=True, size=end_of(slots), dtype=torch.uint8)
        assert self._asyppo_buffer is not None
        weights = views(self._asyppo_buffer, slots)
        arrived = {name: received(tensor, manifest.version) for name, tensor in weights.items()}
        if differences(manifest, arrived):
            return arrived, {}
        self.asyppo_take(weights)
        return arrived, self.asyppo_read(manifest)[1]

    def asyppo_take(self, weights: Mapping[str, Tensor]) -> None:
        """Put the weights into the model, kernels included."""
        self.reload_weights(weights_iterator=iter(weights.items()))  # type: ignore[attr-defined]
        pack_tied(self.model_runner.get_model())

    @torch.no_grad()
    def asyppo_read(self, manifest: Manifest) -> tuple[None, Readings]:
        """Readings of what the model holds of each weight in the manifest."""
        model, ranks = self.model_runner.get_model(), self.parallel_config.tensor_parallel_size  # type: ignore[attr-defined]
        if ranks > 1:
            # A rank holds parts of most weights, and their whole checksums are beyond it.
            return None, {name: Reading(sent.shape, None, None) for name, sent in manifest.entries.items()}
        return None, {name: live(model, name, sent, manifest) for name, sent in manifest.entries.items()}


@dataclass(frozen=True)
class Place:
    """Where a weight lives in vLLM's model: rows ``first`` and on of a module's parameter."""

    module: nn.Module
    parameter: str
    first: int


def received(tensor: Tensor, version: int) -> Reading:
    """The reading of a tensor that has arrived."""
    read = entry(tensor, version)
    return Reading(read.shape, read.checksum, read.sample)


def pack_tied(model: nn.Module) -> None:
    """Pack anew what vLLM's reload forgets: a tied output layer keeps a kernel of its own around the shared matrix."""
    seen: dict[int, nn.Module] = {}
    for module in model.modules():
        weight = module._parameters.get("weight")  # noqa: SLF001 - without searching submodules
        if weight is None or not weight.numel():
            continue
        if id(weight) in seen and hasattr(module, "cpu_linear"):
            module.quant_method.process_weights_after_loading(module)  # type: ignore[operator,union-attr]
        seen[id(weight)] = module


def live(model: nn.Module, name: str, sent: Entry, manifest: Manifest) -> Reading:
    """What the model computes with in place of one weight; of several copies, one that differs if there is any."""
    reading = Reading(sent.shape, None, None)
    for place in places_of(model, name, manifest):
        reading = read(place, sent, manifest.version)
        if differences(Manifest(manifest.version, {name: sent}), {name: reading}):
            break
    return reading


def places_of(model: nn.Module, name: str, manifest: Manifest) -> Iterator[Place]:
    """Every module that holds a weight: its own, a fused one, and those tied to it; none if vLLM calls it otherwise."""
    path, _, parameter = name.rpartition(".")
    place = own_place(model, path, parameter) or fused_place(model, path, parameter, manifest)
    if place is None:
        return
    yield place
    tensor = place.module._parameters[parameter]  # noqa: SLF001
    for module in model.modules():
        shared = module._parameters.get(parameter)  # noqa: SLF001
        if module is not place.module and shared is tensor and shared is not None and shared.numel():
            yield Place(module, parameter, place.first)


def own_place(model: nn.Module, path: str, parameter: str) -> Place | None:
    """The module of the same name."""
    module = dict(model.named_modules()).get(path)
    return None if module is None or module._parameters.get(parameter) is None else Place(module, parameter, 0)  # noqa: SLF001


def fused_place(model: nn.Module, path: str, parameter: str, manifest: Manifest) -> Place | None:
    """The module into which vLLM has joined this one with its neighbours, one below the other."""
    parent, _, last = path.rpartition(".")
    for fused, parts in getattr(model, "packed_modules_mapping", {}).items():
        place = own_place(model, f"{parent}.{fused}", parameter) if last in parts else None
        if place is not None:
            before = [f"{parent}.{part}.{parameter}" for part in parts[: parts.index(last)]]
            return Place(place.module, parameter, sum(manifest.entries[part].shape[0] for part in before))
    return None


def read(place: Place, sent: Entry, version: int) -> Reading:
    """Checksums of a weight as the module holds it, and of its sampled columns as its kernel computes them."""
    tensor = place.module._parameters[place.parameter]  # noqa: SLF001
    assert tensor is not None
    dtype: torch.dtype = getattr(torch, sent.dtype)
    rows = slice(place.first, place.first + sent.shape[0])
    shape, whole, sample = sent.shape, None, None
    if tensor.numel():
        held = tensor[rows].to(dtype)
        shape, whole = tuple(held.shape), checksum(held)
    kernel = getattr(place.module, "cpu_linear", None)
    if kernel is not None and len(sent.shape) == 2:
        columns = sampled_columns(sent.shape[1], version)
        unit = torch.nn.functional.one_hot(columns, sent.shape[1]).to(dtype)
        products = kernel(unit, tensor, None)
        sample = checksum(products[:, rows].to(dtype).T)
    return Reading(shape, whole, sample)
