"""The worker's side of a sync, on a model put together as vLLM does it: fused, packed, tied; without vLLM."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from asyppo_cli.engines.vllm.layout import TensorParallelRank, local_rows, local_shard
from asyppo_cli.engines.vllm.worker import WorkerExtension, pack_tied
from asyppo_cli.engines.weight_sync import shared_memory
from asyppo_cli.engines.weight_sync.checksums import Shard
from asyppo_cli.engines.weight_sync.shared_memory import SharedMemorySync

SHAPES = {
    "embed.weight": (10, 6),
    "block.q_proj.weight": (4, 6),
    "block.k_proj.weight": (2, 6),
    "block.q_proj.bias": (4,),
    "block.k_proj.bias": (2,),
    "block.norm.weight": (6,),
}


class Packed(nn.Module):
    """A matrix that only its kernel holds, once it has been packed; padded by two rows if it stays as well."""

    def __init__(self, rows: int, columns: int, keep: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows + 2 * keep, columns), requires_grad=False)
        self.keep, self.input_size_per_partition = keep, columns
        self.quant_method = SimpleNamespace(process_weights_after_loading=lambda module: module.pack(module.weight))
        self.pack(self.weight.data)

    def pack(self, matrix: Tensor) -> None:
        packed = matrix.detach().clone()
        self.cpu_linear = lambda x, weight, bias: x @ packed.T
        if not self.keep:
            self.weight = nn.Parameter(torch.empty(0), requires_grad=False)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qk_proj = Packed(6, 6, keep=False)
        self.qk_proj.bias = nn.Parameter(torch.zeros(6), requires_grad=False)
        self.norm = nn.Module()
        self.norm.weight = nn.Parameter(torch.zeros(6), requires_grad=False)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.packed_modules_mapping = {"qk_proj": ["q_proj", "k_proj"]}
        self.embed = Packed(10, 6, keep=True)
        self.block = Block()
        self.head = Packed(10, 6, keep=True)
        self.head.weight = self.embed.weight

    def load(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        """As vLLM's reload: everything but the tied head's own kernel."""
        given = dict(weights)
        self.embed.weight.data[:10] = given["embed.weight"]
        self.embed.pack(self.embed.weight)
        for kind in ("weight", "bias"):
            joined = torch.cat([given[f"block.q_proj.{kind}"], given[f"block.k_proj.{kind}"]])
            if kind == "weight":
                self.block.qk_proj.pack(joined)
            else:
                self.block.qk_proj.bias.data.copy_(joined)
        self.block.norm.weight.data.copy_(given["block.norm.weight"])


class Worker(WorkerExtension):
    """A worker around that model, and its own engine."""

    def __init__(self) -> None:
        self.model = Model()
        self.model_runner = SimpleNamespace(get_model=lambda: self.model)
        self.parallel_config = SimpleNamespace(tensor_parallel_size=1)
        self.files: list[str | None] = []
        self.called: list[str] = []

    # In place of vLLM's reload, which holds on to what it is given until it has all of a layer.
    def asyppo_begin(self) -> None:
        self.waiting: dict[str, Tensor] = {}

    def asyppo_take(self, weights: Iterable[tuple[str, Tensor]]) -> None:
        self.waiting |= dict(weights)

    def asyppo_end(self) -> None:
        self.model.load(self.waiting.items())
        pack_tied(self.model)

    def call_workers(self, method: str, **arguments: Any) -> list[Any]:
        if method == "asyppo_load":
            self.files.append(arguments["file"])
        self.called.append(method)
        return [getattr(self, method)(**arguments)]


def new_weights(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


@pytest.fixture
def sync() -> SharedMemorySync:
    return SharedMemorySync(SHAPES, torch.float32, lambda text: None)


def test_weights_arrive_everywhere_and_leave_no_file(sync: SharedMemorySync) -> None:
    worker = Worker()
    for version in (1, 2):
        weights = new_weights(version)
        sync.send(weights.items(), version, worker)
        hidden = torch.randn(3, 6)
        torch.testing.assert_close(
            worker.model.head.cpu_linear(hidden, None, None)[:, :10], hidden @ weights["embed.weight"].T
        )
        torch.testing.assert_close(worker.model.block.qk_proj.bias.data[:4], weights["block.q_proj.bias"])
    # The file is mapped once, and has lost its name.
    assert worker.files[0] is not None and worker.files[1] is None
    assert not Path(worker.files[0]).exists()


@pytest.mark.parametrize(("part", "parts", "size"), [(1, 3, 240), (300, 3, 300), (2**20, 1, 2**20)])
def test_weights_go_in_parts_through_a_file_of_the_size_of_one(part: int, parts: int, size: int) -> None:
    sync, worker = SharedMemorySync(SHAPES, torch.float32, lambda text: None, part), Worker()
    for version in (1, 2):
        weights = new_weights(version)
        sync.send(weights.items(), version, worker)
        torch.testing.assert_close(worker.model.block.norm.weight.data, weights["block.norm.weight"])
    assert worker.called == ["asyppo_shards", *(["asyppo_load"] * parts + ["asyppo_finish"]) * 2]
    assert worker._asyppo_buffer is not None and worker._asyppo_buffer.numel() == size
    assert [file is not None for file in worker.files] == [True, *[False] * (2 * parts - 1)]


def test_what_breaks_between_two_parts_leaves_a_worker_that_takes_the_next_sync() -> None:
    sync, worker = SharedMemorySync(SHAPES, torch.float32, lambda text: None, part=1), Worker()
    weights = new_weights(1)
    del weights["block.norm.weight"]
    with pytest.raises(ValueError, match="another model: block.norm.weight not among them"):
        sync.send(weights.items(), 1, worker)
    assert worker.called[-1] == "asyppo_end"
    sync.send(new_weights(2).items(), 2, worker)


def break_nothing_loaded(worker: Worker) -> None:
    worker.model.load = lambda weights: None  # type: ignore[method-assign]


def break_fused_part(worker: Worker) -> None:
    load = worker.model.load

    def broken(weights: Iterable[tuple[str, Tensor]]) -> None:
        given = dict(weights)
        load({**given, "block.k_proj.weight": given["block.k_proj.weight"].roll(1, 0)}.items())

    worker.model.load = broken  # type: ignore[method-assign]


def break_one_element(worker: Worker) -> None:
    load = worker.model.load

    def broken(weights: Iterable[tuple[str, Tensor]]) -> None:
        load(weights)
        worker.model.block.norm.weight.data[3] += 1e-6

    worker.model.load = broken  # type: ignore[method-assign]


def break_head(worker: Worker) -> None:
    worker.model.head.quant_method = SimpleNamespace(process_weights_after_loading=lambda module: None)


@pytest.mark.parametrize(
    ("sabotage", "named"),
    [
        (break_nothing_loaded, "embed.weight has other values"),
        (break_fused_part, "block.k_proj.weight has other values"),
        (break_one_element, "block.norm.weight has other values"),
        (break_head, "embed.weight has other values"),
    ],
)
def test_a_sync_that_did_not_take_effect_is_an_error(
    sync: SharedMemorySync, sabotage: Callable[[Worker], None], named: str
) -> None:
    worker = Worker()
    sync.send(new_weights(1).items(), 1, worker)
    sabotage(worker)
    with pytest.raises(RuntimeError, match=f"version 2.*in its model, {named}"):
        sync.send(new_weights(2).items(), 2, worker)


def test_what_changes_on_the_way_is_an_error_and_is_not_loaded(sync: SharedMemorySync) -> None:
    worker = Worker()
    sync.send(new_weights(1).items(), 1, worker)
    before = worker.model.block.norm.weight.clone()
    answer = worker.asyppo_load

    def broken(**arguments: Any) -> Any:
        assert worker._asyppo_buffer is not None
        worker._asyppo_buffer[arguments["slots"]["block.q_proj.weight"].offset] ^= 1
        return answer(**arguments)

    worker.asyppo_load = broken  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="of what arrived, block.q_proj.weight has other values"):
        sync.send(new_weights(2).items(), 2, worker)
    assert torch.equal(worker.model.block.norm.weight, before)


def test_a_worker_that_does_not_answer_is_an_error(sync: SharedMemorySync) -> None:
    with pytest.raises(RuntimeError, match="no worker"):
        sync.send(new_weights(1).items(), 1, SimpleNamespace(call_workers=lambda method, **arguments: []))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embed.weight": torch.zeros(11, 6)}, r"another model: embed.weight is \[11, 6\], there it is \[10, 6\]"),
        ({"more": torch.zeros(1)}, r"another model: more is \[1\], there it is not known"),
    ],
)
def test_weights_of_another_model_are_refused(sync: SharedMemorySync, change: dict[str, Tensor], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        sync.send({**new_weights(1), **change}.items(), 1, Worker())


def test_missing_weights_are_refused(sync: SharedMemorySync) -> None:
    weights = new_weights(1)
    del weights["block.norm.weight"]
    with pytest.raises(ValueError, match="another model: block.norm.weight not among them"):
        sync.send(weights.items(), 1, Worker())


def test_after_a_refusal_the_next_sync_works(sync: SharedMemorySync) -> None:
    worker = Worker()
    with pytest.raises(ValueError, match="another model"):
        sync.send([], 1, worker)
    sync.send(new_weights(2).items(), 2, worker)
    assert worker.files[-1] is not None and not Path(worker.files[-1]).exists()


def test_too_little_shared_memory_is_said_and_got_round(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    notes: list[str] = []
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    monkeypatch.setattr(shared_memory.tempfile, "tempdir", str(tmp_path))
    worker = Worker()
    SharedMemorySync(SHAPES, torch.float32, notes.append).send(new_weights(1).items(), 1, worker)
    assert Path(str(worker.files[0])).parent == tmp_path
    assert len(notes) == 1 and "/dev/shm has" in notes[0] and str(tmp_path) in notes[0]


def test_weights_are_sent_in_the_engines_precision() -> None:
    sync, worker = SharedMemorySync(SHAPES, torch.bfloat16, lambda text: None), Worker()
    worker.model.to(torch.bfloat16)
    sync.send(new_weights(1).items(), 1, worker)
    assert worker.model.block.norm.weight.dtype == torch.bfloat16


def test_weights_that_cannot_be_read_back_are_an_error(sync: SharedMemorySync) -> None:
    worker = Worker()
    worker.model.packed_modules_mapping = {}
    with pytest.raises(RuntimeError, match="cannot be read back .* sampler.engine=transformers"):
        sync.send(new_weights(1).items(), 1, worker)


# Modules as one of several workers holds them: four heads of keys and values of 8, eight of queries, 96 columns in all.
QKV = SimpleNamespace(input_size_per_partition=96, output_partition_sizes=[16, 8, 8])
OUTPUT = SimpleNamespace(input_size_per_partition=24, output_partition_sizes=[96])
VOCABULARY = SimpleNamespace(shard_indices=SimpleNamespace(org_vocab_start_index=64, org_vocab_end_index=100))


@pytest.mark.parametrize(
    ("module", "number", "shape", "tp_rank", "part"),
    [
        (QKV, 0, (64, 96), TensorParallelRank(2, 4), Shard(0, 32, 48)),
        (QKV, 2, (32, 96), TensorParallelRank(3, 4), Shard(0, 24, 32)),
        # Two heads for four workers: neighbours share one.
        (QKV, 1, (16, 96), TensorParallelRank(1, 4), Shard(0, 0, 8)),
        (QKV, 1, (16, 96), TensorParallelRank(2, 4), Shard(0, 8, 16)),
        (QKV, 0, (64,), TensorParallelRank(1, 4), Shard(0, 16, 32)),
        (OUTPUT, 0, (96, 96), TensorParallelRank(3, 4), Shard(1, 72, 96)),
        # Its bias is added once, by the first.
        (OUTPUT, 0, (96,), TensorParallelRank(3, 4), None),
        (VOCABULARY, 0, (100, 96), TensorParallelRank(1, 2), Shard(0, 64, 100)),
        (SimpleNamespace(), 0, (96,), TensorParallelRank(1, 2), None),
        (QKV, 0, (16, 96), TensorParallelRank(0, 1), None),
    ],
)
def test_a_worker_of_several_knows_its_part(
    module: Any, number: int, shape: tuple[int, ...], tp_rank: TensorParallelRank, part: Shard | None
) -> None:
    assert local_shard(module, number, shape, tp_rank) == part
    rows = shape[0] if part is None or part.axis == 1 else part.stop - part.start
    assert local_rows(module, number, shape, tp_rank) == rows


def test_a_kernel_is_asked_in_its_own_layout_only(sync: SharedMemorySync) -> None:
    """Unit vectors of another width than the module's own would make a native kernel read past its input."""
    worker = Worker()
    worker.model.block.qk_proj.input_size_per_partition = 7
    worker.model.block.qk_proj.cpu_linear = None
    with pytest.raises(RuntimeError, match="cannot be read back"):
        sync.send(new_weights(1).items(), 1, worker)
