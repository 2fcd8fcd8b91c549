"""A small real training, run by the tests as a process of its own that they kill.

Dropout, shuffling, numpy and Python randomness, momentum, a scheduler, tied weights: all that must come
back for the end to be the same bit for bit. Usage: training_script.py STEPS RESULT [KILL_AT]
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
from pathlib import Path

import numpy
import torch

import outlast

torch.set_num_threads(1)


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(16, 8)
        self.norm = torch.nn.BatchNorm1d(8)
        self.drop = torch.nn.Dropout(0.3)
        self.head = torch.nn.Linear(8, 16, bias=False)
        self.head.weight = self.embed.weight  # tied

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.drop(self.norm(self.embed(x))))
        return out


def main() -> None:
    steps, result = int(sys.argv[1]), Path(sys.argv[2])
    kill_at = int(sys.argv[3]) if len(sys.argv) > 3 else None
    torch.manual_seed(1)
    numpy.random.seed(2)
    random.seed(3)
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [5, 9])
    data = torch.utils.data.TensorDataset(torch.randint(0, 16, (40,)), torch.randint(0, 16, (40,)))
    loader = torch.utils.data.DataLoader(data, batch_size=8, shuffle=True, num_workers=0)
    checkpointer = outlast.Checkpointer(
        model=net, optimizer=optimizer, scheduler=scheduler, every=3, total=0.0, order=[]
    )
    step = checkpointer.restore()
    while step < steps:
        for x, y in checkpointer.batches(loader):
            noise = float(numpy.random.rand()) * 1e-3 + random.random() * 1e-3
            loss = torch.nn.functional.cross_entropy(net(x), y) * (1 + noise)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            scheduler.step()
            checkpointer.values["total"] += loss.item()
            checkpointer.values["order"].append(x.tolist())
            if step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            checkpointer.step(step, loss=loss.item())
            step += 1
            if step >= steps:
                break
    digest = hashlib.sha256()
    for tensor in [*net.state_dict().values(), *(p["exp_avg"] for p in optimizer.state.values())]:
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    digest.update(repr((checkpointer.values, torch.rand(1), numpy.random.rand(), random.random())).encode())
    result.write_text(digest.hexdigest())
    outlast.done()


if __name__ == "__main__":
    main()
