"""Seed program 001 in PyTorch, seed by seed: the range that our figures are held against.

    python experiments/pytorch/sines.py 001-e5b 0 8

trains with seeds 0 to 7 and prints one JSON line for each. Weights are drawn as TensorFlow 1 drew them (Glorot over
input and recurrent weights together, head from a standard normal); the forget gate's bias begins at 1, which learns as
TensorFlow's constant of 1 beside a bias of 0 does. Errors are means over all predicted values, on 2,000 fresh sequences of
all frequencies, and of 1, 2 and 3 Hz alone."""

import json
import math
import sys

import torch

# units, layers, inputs, outputs, learning rate, steps, clip of each gradient element
EXPERIMENTS = {
    "001-e1": (100, 1, 100, 50, 1e-3, 3999, None),
    "001-e2": (150, 1, 100, 50, 1e-3, 5999, None),
    "001-e3": (150, 1, 25, 50, 5e-4, 9999, None),
    "001-e3-1": (150, 1, 25, 100, 5e-4, 9999, None),
    "001-e4": (500, 1, 25, 100, 1e-3, 9999, 0.5),
    "001-e5-fixed": (32, 4, 25, 100, 1e-3, 7500, None),
    "001-e5b": (10, 4, 25, 100, 1e-3, 24000, None),
    "001-e5-1-fixed": (10, 4, 25, 100, "steps", 10200, None),
}
BATCH = 50


def batch(rows, inputs, outputs, generator, only=None):
    time = torch.arange(inputs + outputs, dtype=torch.float64) / 100
    start = torch.rand(rows, 1, generator=generator, dtype=torch.float64) * 2 * math.pi
    hertz = torch.rand(rows, 1, generator=generator, dtype=torch.float64) * 3.5 + 0.5
    if only:
        hertz = torch.full_like(hertz, only)
    wave = torch.sin(2 * math.pi * hertz * (time + start)).float()
    return wave[:, :inputs, None], wave[:, inputs:]


def run(name, seed):
    hidden, layers, inputs, outputs, rate, steps, clip = EXPERIMENTS[name]
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(1000 + seed)
    lstm = torch.nn.LSTM(1, hidden, layers, batch_first=True)
    head = torch.nn.Linear(hidden, outputs)
    with torch.no_grad():
        for layer in range(layers):
            below = 1 if layer == 0 else hidden
            bound = math.sqrt(6 / (below + hidden + 4 * hidden))
            getattr(lstm, f"weight_ih_l{layer}").uniform_(-bound, bound)
            getattr(lstm, f"weight_hh_l{layer}").uniform_(-bound, bound)
            getattr(lstm, f"bias_ih_l{layer}").zero_()[hidden : 2 * hidden] = 1
            getattr(lstm, f"bias_hh_l{layer}").zero_().requires_grad_(False)
        head.weight.normal_()
        head.bias.normal_()
    parameters = [p for p in [*lstm.parameters(), *head.parameters()] if p.requires_grad]
    adam = torch.optim.Adam(parameters, lr=1e-3 if rate == "steps" else rate)

    def error(x, y):
        return (head(lstm(x)[0][:, -1]) - y) ** 2

    logged = []
    for step in range(1, steps + 1):
        if rate == "steps":
            adam.param_groups[0]["lr"] = 0.005 * 0.1 ** math.floor(step * BATCH / 250_000)
        x, y = batch(BATCH, inputs, outputs, generator, 1.0 if name == "001-e1" else None)
        adam.zero_grad()
        error(x, y).sum(1).mean().backward()
        if clip:
            torch.nn.utils.clip_grad_value_(parameters, clip)
        adam.step()
        if step % 100 == 0:
            with torch.no_grad():
                logged.append(error(x, y).mean().item())
    with torch.no_grad():
        fresh = torch.Generator().manual_seed(77)
        figures = {"best-logged-mse": min(logged), "last-logged-mse": logged[-1]}
        for only in [None, 1.0, 2.0, 3.0]:
            key = f"test-mse-{only:.0f}-hz" if only else "test-mse"
            figures[key] = error(*batch(2000, inputs, outputs, fresh, only)).mean().item()
    return {"experiment": name, "seed": seed} | {key: float(f"{value:.4g}") for key, value in figures.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    for seed in range(int(sys.argv[2]), int(sys.argv[3])):
        print(json.dumps(run(sys.argv[1], seed)), flush=True)
