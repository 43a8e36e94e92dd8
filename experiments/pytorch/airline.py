"""Airline passengers of seed program 004 in PyTorch, seed by seed: the range that our figures are held against.

    python experiments/pytorch/airline.py 100 0.01 train 0 10

trains 100 units with Adam at 0.01, scaled with the training part (or the `whole` series), with seeds 0 to 9, and prints for
each the error of the test part at its best, looked at every 100 steps, the training ending after three looks without a
better one. Weights of TensorFlow: one uniform draw for inputs and hidden state together, a head of normal numbers, a
forget bias of 1."""

import json
import math
import sys
import tomllib
from pathlib import Path

import torch

EXPERIMENT = tomllib.loads((Path(__file__).parent.parent / "004-airline-5.toml").read_text())
SERIES = torch.tensor(EXPERIMENT["data"]["values"], dtype=torch.float32)
TRAIN, LOOKBACK = EXPERIMENT["data"]["train"], EXPERIMENT["data"]["lookback"]


class Network(torch.nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.lstm = torch.nn.LSTM(1, hidden)
        self.head = torch.nn.Linear(hidden, 1)
        bound = math.sqrt(6 / (1 + hidden + 4 * hidden))
        with torch.no_grad():
            self.lstm.weight_ih_l0.uniform_(-bound, bound)
            self.lstm.weight_hh_l0.uniform_(-bound, bound)
            self.lstm.bias_ih_l0.zero_()
            # The forget gate is the second of four; here alone it is trained, which changes little.
            self.lstm.bias_hh_l0.zero_()[hidden : 2 * hidden] = 1.0
            torch.nn.init.normal_(self.head.weight)
            torch.nn.init.normal_(self.head.bias)
        self.lstm.bias_hh_l0.requires_grad_(False)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


def windows(part):
    """Inputs and targets `[5, windows, 1]`, without the last window, as in the original."""
    count = len(part) - LOOKBACK - 1
    rows = torch.stack([part[i : i + LOOKBACK + 1] for i in range(count)], dim=1)[:, :, None]
    return rows[:-1], rows[1:]


def run(hidden, rate, scale, seed):
    torch.manual_seed(seed)
    known = SERIES[:TRAIN] if scale == "train" else SERIES
    scaled = (SERIES - known.mean()) / known.std(correction=0)
    (x, y), (test_x, test_y) = windows(scaled[:TRAIN]), windows(scaled[TRAIN:])
    network = Network(hidden)
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=rate)
    best, best_step, step = math.inf, 0, 0
    while step < 20_000 and step - best_step < 300:
        for _ in range(100):
            optimizer.zero_grad()
            ((network(x) - y) ** 2).mean().backward()
            optimizer.step()
        step += 100
        with torch.no_grad():
            error = ((network(test_x) - test_y) ** 2).mean().item()
        if error < best:
            best, best_step = error, step
    return {"hidden": hidden, "scale": scale, "seed": seed, "test-mse": float(f"{best:.4g}"), "best-step": best_step}


if __name__ == "__main__":
    torch.set_num_threads(1)
    hidden, rate, scale = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    for seed in range(int(sys.argv[4]), int(sys.argv[5])):
        print(json.dumps(run(hidden, rate, scale, seed)), flush=True)
