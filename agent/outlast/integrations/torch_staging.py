"""Copies a state's tensors into the arena, laid out as the files that they become: the one exposed copy."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

import torch

from outlast.integrations.torch_copying import Pair, copy_all, copy_together
from outlast.training import CheckpointError
from outlast.writing.arena import Arena
from outlast.writing.layout import FileLayout, TensorSpec, spread
from outlast.writing.plan import PlannedFile, up_to_block

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2", torch.int64: "I64", torch.int32: "I32",
    torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
TRAINED = "tensors"
FROZEN = "frozen"  # groups begin with this word or the one above


class Staging:
    """Keeps the layout and its views from save to save, as long as names, types and shapes are the same."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._key: list[tuple[object, ...]] = []
        self._layouts: tuple[FileLayout, ...] = ()
        self._files: tuple[PlannedFile, ...] = ()
        self._views: dict[str, torch.Tensor] = {}
        self._end = 0
        self._pinned = 0  # address of the mapping that CUDA knows
        self._stream: torch.cuda.Stream | None = None

    def stage(
        self, tensors: Mapping[str, torch.Tensor], groups: Mapping[str, str], texts: Mapping[str, bytes]
    ) -> tuple[PlannedFile, ...]:
        """The files of the save, whole in the arena on return. `texts`: further files by name.

        Raises OSError: no memory.
        """
        key: list[tuple[object, ...]] = [
            (name, tensor.dtype, tensor.shape, groups.get(name, TRAINED)) for name, tensor in tensors.items()
        ]
        if key != self._key:
            self._lay_out(key)
        sizes = {name: up_to_block(len(text)) for name, text in texts.items()}
        if self._arena.reserve(self._end + sum(sizes.values())) or not self._files:
            self._map()
        self._copy([(self._views[name], tensor) for name, tensor in tensors.items() if tensor.numel()])
        assert self._arena.memory is not None
        files, at = list(self._files), self._end
        for name, text in texts.items():
            self._arena.memory[at : at + len(text)] = text
            files.append(PlannedFile(name, at, len(text)))
            at += sizes[name]
        return tuple(files)

    def _lay_out(self, key: list[tuple[object, ...]]) -> None:
        specs = [
            TensorSpec(name, DTYPES[dtype], tuple(shape), group)  # type: ignore[index, arg-type]
            for name, dtype, shape, group in key
        ]
        self._layouts = spread(specs)
        self._key, self._files, self._views = key, (), {}
        self._end = sum(up_to_block(layout.size) for layout in self._layouts)

    def _map(self) -> None:
        """Views of the tensors' places, and the headers, which stay as they are."""
        memory = self._arena.memory
        assert memory is not None
        whole = torch.frombuffer(memory, dtype=torch.uint8)
        names = {text: dtype for dtype, text in DTYPES.items()}
        files, at = [], 0
        for layout in self._layouts:
            memory[at : at + len(layout.header)] = layout.header
            for spec, offset in layout.tensors:
                place = whole[at + offset : at + offset + spec.size]
                self._views[spec.name] = place.view(names[spec.dtype]).view(spec.shape)
            files.append(PlannedFile(layout.name, at, layout.size, may_stay=layout.group.startswith(FROZEN)))
            at += up_to_block(layout.size)
        self._files = tuple(files)

    def _copy(self, pairs: list[Pair]) -> None:
        on_gpu, straight, rest = [], [], []
        for pair in pairs:
            tensor = pair[1]
            if tensor.is_cuda:
                on_gpu.append(pair)
            elif tensor.is_contiguous() and tensor.device.type == "cpu":
                straight.append(pair)
            else:
                rest.append(pair)
        if on_gpu:
            with torch.no_grad():
                self._copy_from_gpu(on_gpu)
        copy_together(rest)
        copy_all(straight)

    def _copy_from_gpu(self, pairs: list[Pair]) -> None:
        """Never run on a GPU so far. Pinned, so that the copies run at the speed of the bus, on a stream of
        their own behind what the training has queued; on return all bytes have arrived."""
        self._pin()
        for device in {tensor.device for _, tensor in pairs}:
            with torch.cuda.device(device):
                stream = self._stream or torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
                if stream.device != device:
                    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
                self._stream = stream
                stream.wait_stream(torch.cuda.current_stream(device))
                with torch.cuda.stream(stream):
                    for to, tensor in pairs:
                        if tensor.device == device:
                            to.copy_(tensor, non_blocking=True)
                stream.synchronize()

    def _pin(self) -> None:
        memory = self._arena.memory
        assert memory is not None
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        if address == self._pinned:
            return
        runtime = torch.cuda.cudart()  # type: ignore[no-untyped-call]
        if self._pinned:
            runtime.cudaHostUnregister(self._pinned)
        failed = int(runtime.cudaHostRegister(address, self._arena.size, 0))
        if failed:
            raise CheckpointError(f"CUDA can't pin the {self._arena.size} bytes of the arena: error {failed}")
        self._pinned = address
