"""One process of a training in several, run by the tests: CASE RANK WORLD FOLDER LAUNCH STOP [AT].

At step AT a `ddp` is told that its machine is taken; an `fsdp` saves, and all its processes are killed.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import outlast
from outlast import trainer_contract as contract


def build(case: str) -> torch.nn.Module:
    torch.manual_seed(3)
    net = torch.nn.Sequential(
        torch.nn.Linear(6, 10), torch.nn.Dropout(0.2), torch.nn.ReLU(), torch.nn.Linear(10, 3)
    )
    if case == "ddp":
        return DistributedDataParallel(net)
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    for layer in (net[0], net[3]):
        fully_shard(layer, mesh=mesh)
    fully_shard(net, mesh=mesh)
    return net


def digest_of(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> str:
    digest = hashlib.sha256()
    moments = [state["exp_avg"] for state in optimizer.state.values()]
    for tensor in [*model.state_dict().values(), *moments]:
        full = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
        digest.update(full.detach().numpy().tobytes())
    return digest.hexdigest()


def main() -> None:
    case, rank, world, folder, launch = (
        sys.argv[1],
        int(sys.argv[2]),
        int(sys.argv[3]),
        Path(sys.argv[4]),
        sys.argv[5],
    )
    stop, at = int(sys.argv[6]), int(sys.argv[7]) if len(sys.argv) > 7 else None
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank))
    dist.init_process_group("gloo", init_method=f"file://{folder / launch}", rank=rank, world_size=world)
    model = build(case)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    torch.manual_seed(100 + rank)
    data = torch.utils.data.TensorDataset(torch.randn(64, 6, generator=torch.Generator().manual_seed(1)))
    sampler: Any = torch.utils.data.DistributedSampler(data, world, rank, shuffle=False)
    loader = torch.utils.data.DataLoader(data, batch_size=4, sampler=sampler)
    checkpointer = outlast.Checkpointer(model=model, optimizer=optimizer, every=3, dir=folder / "c", seen=[])
    step = checkpointer.restore()
    begun = step
    while step < stop:
        for (x,) in checkpointer.batches(loader):
            loss = model(x).square().mean()
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            checkpointer.values["seen"].append(round(float(x[0, 0]), 6))
            if case == "ddp" and step == at and rank == 0:
                request = contract.request_bytes(contract.SaveRequest("r", final=True))
                Path(os.environ[contract.SAVE_REQUEST]).write_bytes(request)
            checkpointer.step(step, loss=loss.item())
            if case == "fsdp" and step == at:
                checkpointer.save(step)
                os.kill(os.getpid(), signal.SIGKILL)
            step += 1
            if step >= stop:
                break
    checkpointer.save(step - 1)
    told = {"begun": begun, "digest": digest_of(model, optimizer), "seen": checkpointer.values["seen"]}
    (folder / f"result-{rank}.json").write_text(json.dumps({**told, "random": float(torch.rand(1))}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
