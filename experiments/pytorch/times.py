"""Seed program 003 in PyTorch, seed by seed: the range that our figures are held against.

    python experiments/pytorch/times.py sgd 0 10

trains with seeds 0 to 9 and prints, for each, half the mean squared error over the 20 batches up to batch 20, 40, 60 and
80. Layers of 10, 20 and 1 units without a head, weights uniform within 0.07, two biases of 0, as MXNet has them."""

import json
import sys

import torch


class Stack(torch.nn.Module):
    def __init__(self):
        super().__init__()
        widths = [(1, 10), (10, 20), (20, 1)]
        self.layers = torch.nn.ModuleList(torch.nn.LSTM(below, width) for below, width in widths)
        for name, parameter in self.named_parameters():
            with torch.no_grad():
                parameter.uniform_(-0.07, 0.07) if "weight" in name else parameter.zero_()

    def forward(self, x):
        for layer in self.layers:
            x, _ = layer(x)
        return x


def run(rule, seed):
    torch.manual_seed(seed)
    stack = Stack()
    rules = {"sgd": lambda p: torch.optim.SGD(p, lr=0.01), "adam": lambda p: torch.optim.Adam(p, lr=0.001)}
    optimizer = rules[rule](stack.parameters())
    grid = torch.arange(10) * 0.01
    losses = []
    for _ in range(100):
        time = grid[:, None] + torch.rand(1, 300)
        loss = 0.5 * ((stack(time[:9, :, None])[-1, :, 0] - torch.sin(time[9]) / 2) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    rows = {f"loss-at-{k}": float(f"{sum(losses[k - 20 : k]) / 20:.4g}") for k in (20, 40, 60, 80)}
    return {"rule": rule, "seed": seed} | rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed in range(int(sys.argv[2]), int(sys.argv[3])):
        print(json.dumps(run(sys.argv[1], seed)), flush=True)
