"""Write waves.json: what PyTorch's L-BFGS finds on seed program 002's successor, evaluation by evaluation.

MODEL holds our initial parameters of seed 0 (see README.md), so that PyTorch and we begin at the same place: 97 sines
of 999 steps, two layers of 51 units, f64. `spread` is, for each evaluation, the largest relative change of a loss at
it or before it when PyTorch starts from parameters that differ by one part in 2^52, over two such starts: how far
rounding alone carries the losses apart. They go so far as two such starts can tell: at evaluation 55 strong Wolfe tries
a place where we are 4e-5 apart, and the two starts 1e-7.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from common import setup, write_json

EVALUATIONS, NUDGES = 50, 2
RUNS = {
    "002-lbfgs": {"lr": 0.8},
    "002-lbfgs-wolfe": {"lr": 1.0, "line_search_fn": "strong_wolfe"},
}


class Enough(Exception):
    """As many evaluations as wanted."""


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(1, 51, 2)
        self.head = torch.nn.Linear(51, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[0])


def data():
    """Inputs and targets, [999, 97, 1]."""
    shifts = np.random.RandomState(2).randint(-80, 80, 100)
    waves = np.sin((np.arange(1000)[:, None] + shifts[None, 3:]) / 20.0)
    waves = torch.from_numpy(waves)[..., None]
    return waves[:-1], waves[1:]


def losses(parameters, options, nudge):
    """The losses of the first evaluations."""
    network = Network()
    network.load_state_dict(parameters)
    generator = torch.Generator().manual_seed(nudge)
    with torch.no_grad():
        for parameter in network.parameters():
            if nudge:
                signs = torch.randint(-1, 2, parameter.shape, generator=generator)
                parameter.mul_(1 + signs * 2.0**-52)
    optimizer = torch.optim.LBFGS(network.parameters(), **options)
    x, target = data()
    seen = []

    def closure():
        if len(seen) == EVALUATIONS:
            raise Enough
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(network(x), target)
        loss.backward()
        seen.append(loss.item())
        return loss

    try:
        while True:
            optimizer.step(closure)
    except Enough:
        return seen


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="our initial parameters")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to")
    arguments = parser.parse_args()
    setup()
    parameters = load_file(arguments.model)
    runs = {}
    for name, options in RUNS.items():
        exact = losses(parameters, options, 0)
        nudged = [losses(parameters, options, nudge) for nudge in range(1, NUDGES + 1)]
        change = [max(abs(other[n] - loss) / loss for other in nudged) for n, loss in enumerate(exact)]
        spread = [max(change[: n + 1]) for n in range(len(change))]
        runs[name] = {"losses": exact, "spread": spread}
    write_json(arguments.out / "waves.json", {"torch": torch.__version__, "runs": runs})


if __name__ == "__main__":
    main()
