"""What asyppo adds to each of vLLM's workers: its sampler, loading of new weights, and reading them back.

vLLM mixes this class into its worker (``worker_extension_cls``). On a CPU it packs matrices for their kernels and drops
the originals, so a matrix is read back through its kernel: the product with unit vectors is its columns, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from asyppo_cli.engines.torch.malloc import trim_heap
from asyppo_cli.engines.vllm.layout import TensorParallelRank, WeightLayout, WeightLocation
from asyppo_cli.engines.weight_sync.checksums import (
    Manifest,
    ReceivedWeight,
    Shard,
    checksum,
    checksums_of,
    differences,
    sampled_columns,
)
from asyppo_cli.engines.weight_sync.shared_memory import Shapes, Slot, views

ReceivedWeights = dict[str, ReceivedWeight]
# By module, number of columns and precision: its kernel's products with the sampled unit vectors.
Products = dict[tuple[nn.Module, int, torch.dtype], Tensor]


class WorkerExtension:
    """Methods of a vLLM worker, called by name through ``collective_rpc``."""

    model_runner: Any
    _asyppo_buffer: Tensor | None = None

    def asyppo_install(self) -> None:
        """Have the sampler report full-softmax log-probabilities."""
        # Imports vLLM's samplers, which only a worker has any use for.
        from asyppo_cli.engines.vllm.logprobs import install

        install(self.model_runner)

    def asyppo_load(
        self, file: str | None, slots: Mapping[str, Slot], manifest: Manifest, first: bool
    ) -> ReceivedWeights:
        """Load the weights that lie in a shared file (None: the one of last time), the ``first`` of a sync or others.

        Returns readings of what arrived. Nothing is loaded of these if any arrived broken.
        """
        if file is not None:
            self._asyppo_buffer = map_file(Path(file))
        assert self._asyppo_buffer is not None
        weights = views(self._asyppo_buffer, slots)
        arrived = {name: received(tensor, manifest.version) for name, tensor in weights.items()}
        if not differences(manifest, arrived):
            if first:
                self.asyppo_begin()
            # vLLM holds on to tensors until it has all of a layer, and the file is written again before that.
            self.asyppo_take((name, tensor.clone()) for name, tensor in weights.items())
        return arrived

    def asyppo_finish(self, manifest: Manifest) -> tuple[None, ReceivedWeights]:
        """End the sync; returns readings of what the model then holds."""
        self.asyppo_end()
        return self.asyppo_read(manifest)

    def asyppo_begin(self) -> None:
        """Have the model wait for new weights."""
        from vllm.config import set_current_vllm_config
        from vllm.model_executor.model_loader.reload import initialize_layerwise_reload

        with set_current_vllm_config(self.vllm_config):  # type: ignore[attr-defined]
            initialize_layerwise_reload(self.model_runner.get_model())

    def asyppo_take(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """Give the model some of its weights."""
        from vllm.config import set_current_vllm_config

        with set_current_vllm_config(self.vllm_config):  # type: ignore[attr-defined]
            self.model_runner.get_model().load_weights(weights)

    def asyppo_end(self) -> None:
        """Have the model compute with what it was given, kernels included."""
        from vllm.config import set_current_vllm_config
        from vllm.model_executor.model_loader.reload import finalize_layerwise_reload

        model = self.model_runner.get_model()
        with set_current_vllm_config(self.vllm_config):  # type: ignore[attr-defined]
            finalize_layerwise_reload(model, self.model_config)  # type: ignore[attr-defined]
        pack_tied(model)
        # Copies of the weights on their way into the kernels.
        trim_heap()

    @torch.no_grad()
    def asyppo_read(self, manifest: Manifest) -> tuple[None, ReceivedWeights]:
        """Readings of what the model holds of each weight in the manifest."""
        layout, products = self._asyppo_layout(), Products()
        shapes = {name: sent.shape for name, sent in manifest.entries.items()}
        return None, {name: read_weight(layout, name, shapes, manifest, products) for name in shapes}

    def asyppo_shards(self, shapes: Shapes) -> dict[str, Shard]:
        """The weights of which this worker holds a part only, and which part."""
        layout = self._asyppo_layout()
        held = {name: next(layout.locations(name, shapes), None) for name in shapes}
        return {
            name: location.shard
            for name, location in held.items()
            if location is not None and location.shard is not None
        }

    def _asyppo_layout(self) -> WeightLayout:
        """Where weights live in this worker's model as it is now."""
        ranks: int = self.parallel_config.tensor_parallel_size  # type: ignore[attr-defined]
        tp_rank = TensorParallelRank(0 if ranks == 1 else self.rank, ranks)  # type: ignore[attr-defined]
        return WeightLayout(self.model_runner.get_model(), tp_rank)


def map_file(file: Path) -> Tensor:
    """All bytes of a file, shared with other processes that map it."""
    return torch.from_file(str(file), shared=True, size=file.stat().st_size, dtype=torch.uint8)


def received(tensor: Tensor, version: int) -> ReceivedWeight:
    """The reading of a tensor that has arrived."""
    sums = checksums_of(tensor, version)
    return ReceivedWeight(sums.shape, sums.checksum, sums.sample)


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


def read_weight(
    layout: WeightLayout, name: str, shapes: Shapes, manifest: Manifest, products: Products
) -> ReceivedWeight:
    """What the model computes with in place of one weight; of several copies, one that differs if there is any."""
    reading = ReceivedWeight(shapes[name], None, None)
    for location in layout.locations(name, shapes):
        reading = read_location(location, name, manifest, products)
        if differences(Manifest(manifest.version, {name: manifest.entries[name]}, manifest.parts), {name: reading}):
            break
    return reading


def input_width(module: Any) -> int | None:
    """Columns of the matrix that a module multiplies with: of a linear layer, or of a vocabulary's."""
    return next((getattr(module, n) for n in ("input_size_per_partition", "embedding_dim") if hasattr(module, n)), None)


def read_location(location: WeightLocation, name: str, manifest: Manifest, products: Products) -> ReceivedWeight:
    """Checksums of a weight as the module holds it, and of its sampled columns as its kernel computes them.

    ``products`` remembers what a kernel has computed: a fused one is asked once for all its weights.
    """
    tensor, sent = location.module._parameters[location.parameter], manifest.expected(name, location.shard)  # noqa: SLF001
    assert tensor is not None
    dtype: torch.dtype = getattr(torch, sent.dtype)
    rows = slice(location.first, location.first + sent.shape[0])
    shape, whole, sample = sent.shape, None, None
    if tensor.numel() and tuple(tensor.shape[1:]) == tuple(sent.shape[1:]):
        held = tensor[rows].to(dtype)
        shape, whole = tuple(held.shape), checksum(held)
    kernel = getattr(location.module, "cpu_linear", None)
    # Asked in the module's own layout only: a kernel reads beyond its input where that is narrower than it expects.
    if kernel is not None and tuple(sent.shape[1:]) == (input_width(location.module),):
        asked = (location.module, sent.shape[1], dtype)
        if asked not in products:
            columns = sampled_columns(sent.shape[1], manifest.version)
            unit = torch.nn.functional.one_hot(columns, sent.shape[1]).to(dtype)
            products[asked] = kernel(unit, tensor, None)
        sample = checksum(products[asked][:, rows].to(dtype).T)
    return ReceivedWeight(shape, whole, sample, location.shard)
