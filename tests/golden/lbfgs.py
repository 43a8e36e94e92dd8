"""Write lbfgs.json and lbfgs.safetensors: every evaluation that PyTorch's L-BFGS asks for.

Functions of a few variables are in the JSON file with all that belongs to them: the loss and the point
of every evaluation, and where each step ended. `quadratic` is x'Ax/2 - b'x, `rosenbrock` the sum of
100 (x[i+1] - x[i]^2)^2 + (1 - x[i])^2. The LSTM has its data and weights, initial and after each step,
in the safetensors file. A search is one call of PyTorch's strong Wolfe search along a line: from `loss`
and `slope` it tries each of `t`, finds `losses` and `slopes` there, and accepts `accepted`, where
`kept` is the gradient's largest element; `direction_max` is the direction's. `iterations` and `evaluations` count over all steps.

`spread` says how far rounding alone carries the results: the largest change when PyTorch starts from
parameters that differ by one part in 2^52, over eight such starts. Of a loss it is the relative change
at that evaluation or at one before, of the end of a step the change of a parameter p on max(1, |p|).
"""

import math

import torch
from torch.optim.lbfgs import _strong_wolfe

from common import out_dir, seeded, setup, write_json, write_safetensors

NUDGES, SEARCHES = 8, 60

DEFAULTS = {"lr": 1.0, "max_iter": 20, "max_eval": 25, "tolerance_grad": 1e-7,
            "tolerance_change": 1e-9, "history_size": 100, "line_search_fn": None}
WOLFE = DEFAULTS | {"line_search_fn": "strong_wolfe"}

# name, function, options, steps
SMALL = [
    ("quadratic", "quadratic", DEFAULTS | {"lr": 0.8, "max_iter": 8, "max_eval": 10}, 2),
    ("quadratic_wolfe", "quadratic", WOLFE | {"max_iter": 4, "max_eval": 5}, 4),
    ("quadratic_short_history", "quadratic", DEFAULTS | {"history_size": 2}, 1),
    ("quadratic_few_evaluations", "quadratic", DEFAULTS | {"max_eval": 3}, 4),
    ("quadratic_one_evaluation", "quadratic", WOLFE | {"max_eval": 1}, 4),
    ("quadratic_converged", "quadratic", WOLFE, 3),
    ("quadratic_small_change_of_loss", "quadratic", DEFAULTS | {"tolerance_change": 0.05}, 3),
    ("quadratic_small_change_of_point", "quadratic",
     DEFAULTS | {"lr": 1e-3, "tolerance_change": 5e-3}, 2),
    ("quadratic_rate_zero", "quadratic", DEFAULTS | {"lr": 0.0}, 3),
    ("rosenbrock", "rosenbrock", DEFAULTS | {"lr": 0.5, "max_iter": 15, "max_eval": 18}, 2),
    ("rosenbrock_wolfe", "rosenbrock", WOLFE | {"max_iter": 16}, 1),
    ("rosenbrock_wolfe_short_history", "rosenbrock", WOLFE | {"max_iter": 14, "history_size": 3}, 1),
    ("rosenbrock_wolfe_few_evaluations", "rosenbrock", WOLFE | {"max_eval": 4}, 6),
    ("rosenbrock_wolfe_long_first_step", "rosenbrock", WOLFE | {"lr": 40.0}, 1),
    ("rosenbrock_wolfe_short_first_step", "rosenbrock", WOLFE | {"lr": 0.01}, 1),
]

LSTM = {"steps": 20, "batch": 6, "input": 1, "hidden": [5, 4], "output": 1}
# name, options, steps
NETWORKS = [
    ("network", DEFAULTS | {"lr": 0.8}, 3),
    ("network_wolfe", WOLFE, 3),
]


def quadratic():
    """A positive definite quadratic of six variables."""
    generator = seeded(3)
    root = torch.randn(6, 6, generator=generator)
    matrix = root @ root.T / 6 + 0.5 * torch.eye(6)
    vector = torch.randn(6, generator=generator)
    start = 2.0 * torch.randn(6, generator=generator)
    data = {"matrix": matrix.flatten().tolist(), "vector": vector.tolist()}
    return start, data, lambda x: x @ matrix @ x / 2 - vector @ x


def rosenbrock():
    """Rosenbrock's valley in three variables."""
    def function(x):
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
    return torch.tensor([-1.2, 1.0, 0.7]), {}, function


FUNCTIONS = {"quadratic": quadratic, "rosenbrock": rosenbrock}


def follow(parameters, function, options, steps):
    """Minimise; return the evaluations and what stands after each step."""
    optimizer = torch.optim.LBFGS(parameters, **options)
    evaluations, ends = [], []

    def closure():
        optimizer.zero_grad()
        loss = function()
        loss.backward()
        evaluations.append((loss.item(), [p.detach().clone() for p in parameters]))
        return loss

    for _ in range(steps):
        optimizer.step(closure)
        state = optimizer.state[parameters[0]]
        ends.append((state["n_iter"], state["func_evals"], [p.detach().clone() for p in parameters]))
    return evaluations, ends


def nudged(tensor, generator):
    """Each element one part in 2^52 larger or smaller, or as it is."""
    return tensor * (1 + torch.randint(-1, 2, tensor.shape, generator=generator) * 2.0 ** -52)


def spread(result, run):
    """How far the losses, and the ends of the steps, move over runs from nudged starts."""
    evaluations, ends = result
    losses = torch.tensor([loss for loss, _ in evaluations])
    of_losses, of_ends = torch.zeros(len(losses)), torch.zeros(len(ends))
    for seed in range(NUDGES):
        others, other_ends = run(seeded(100 + seed))
        assert len(others) == len(evaluations), "rounding must not change the number of evaluations"
        other = torch.tensor([loss for loss, _ in others])
        of_losses = torch.maximum(of_losses, (other / losses - 1).abs())
        for step, ((_, _, points), (_, _, others)) in enumerate(zip(ends, other_ends)):
            changes = [((q - p).abs() / p.abs().clamp(min=1)).max() for p, q in zip(points, others)]
            of_ends[step] = max(of_ends[step], *changes)
    return torch.cummax(of_losses, 0).values.tolist(), of_ends.tolist()


def record_small(name, function, options, steps):
    """Follow one function of a few variables."""
    start, data, value = FUNCTIONS[function]()

    def run(x):
        x = x.clone().requires_grad_()
        return follow([x], lambda: value(x), options, steps)

    evaluations, ends = result = run(start)
    of_losses, of_ends = spread(result, lambda g: run(nudged(start, g)))
    return {"name": name, "function": function, **data, "options": options, "start": start.tolist(),
            "losses": [loss for loss, _ in evaluations],
            "spread": of_losses,
            "points": [points[0].tolist() for _, points in evaluations],
            "ends": [{"iterations": i, "evaluations": e, "spread": s, "point": p[0].tolist()}
                     for (i, e, p), s in zip(ends, of_ends)]}


def waves(generator):
    """A way down into hilly country: value and slope at t."""
    bowl, height, pace, phase, low = (4 * torch.rand(5, generator=generator)).tolist()

    def slope(t):
        return bowl * (t - low) / 2 + height * pace * math.cos(pace * t + phase)

    way = -math.copysign(1, slope(0.0))
    return lambda t: (bowl * (way * t - low) ** 2 / 4 + height * math.sin(pace * way * t + phase),
                      way * slope(way * t))


def dice(generator):
    """Values in steps of an eighth and slopes that have nothing to do with them: ties, and no way out."""
    def function(t):
        value, slope = torch.randint(0, 49, (2,), generator=generator).tolist()
        return (value / 8, slope / 8 - 3) if t else (5.0, -0.1)

    return function


def record_search(number):
    """Follow one line search."""
    generator = seeded(number)
    function = (waves, dice, dice)[number % 3](generator)
    first = 10 ** (5 * torch.rand(1, generator=generator).item() - 3)
    most = (25, 25, 25, 25, 4, 1, 0)[number % 7]
    tolerance = 1e-2 if number % 4 == 1 else 1e-9
    length = 2.0 ** (number % 5 - 2)
    loss, slope = function(0.0)
    direction = torch.tensor([length])
    tried, losses, slopes = [], [], []

    def evaluate(_, t, d):
        value, gradient = function(float(t))
        tried.append(float(t))
        losses.append(value)
        slopes.append(gradient)
        return value, torch.tensor([gradient]) / d

    start = torch.tensor([slope]) / direction
    _, kept, accepted, _ = _strong_wolfe(
        evaluate, None, first, direction, loss, start, start.dot(direction),
        tolerance_change=tolerance, max_ls=most)
    return {"loss": loss, "slope": slope, "direction_max": length, "tolerance_change": tolerance,
            "max_ls": most, "t": tried, "losses": losses, "slopes": slopes,
            "accepted": float(accepted), "kept": abs(kept.item())}


class Network(torch.nn.Module):
    """LSTM layers of their own widths and a linear head on every step."""

    def __init__(self):
        super().__init__()
        widths = [LSTM["input"], *LSTM["hidden"]]
        self.layers = torch.nn.ModuleList(
            torch.nn.LSTM(i, h) for i, h in zip(widths, widths[1:]))
        self.head = torch.nn.Linear(widths[-1], LSTM["output"])

    def forward(self, x):
        """Predict [T, B, O]."""
        for layer in self.layers:
            x, _ = layer(x)
        return self.head(x)

    def named(self):
        """Parameters by the names of one stack."""
        for number, layer in enumerate(self.layers):
            for name, parameter in layer.named_parameters():
                yield "lstm." + name.replace("_l0", f"_l{number}"), parameter
        for name, parameter in self.head.named_parameters():
            yield "head." + name, parameter


def sines():
    """Sines of period 12 to 17 with different phases; the target is the next value."""
    t = torch.arange(LSTM["steps"] + 1.0)[:, None, None]
    row = torch.arange(float(LSTM["batch"]))[None, :, None]
    waves = torch.sin(2 * torch.pi * (t + 2 * row) / (12 + row))
    return waves[:-1], waves[1:]


def record_network(name, options, steps):
    """Train one network; return its record and its tensors."""
    x, target = sines()
    generator = seeded(11)
    start = {n: torch.empty_like(p).uniform_(-0.5, 0.5, generator=generator)
             for n, p in Network().named()}

    def run(nudge):
        network = Network()
        named = dict(network.named())
        with torch.no_grad():
            for key, parameter in named.items():
                parameter.copy_(nudge(start[key]))

        def loss():
            return torch.nn.functional.mse_loss(network(x), target)

        return follow(list(named.values()), loss, options, steps)

    evaluations, ends = result = run(lambda p: p)
    of_losses, of_ends = spread(result, lambda g: run(lambda p: nudged(p, g)))
    tensors = {"data.x": x, "data.target": target}
    tensors |= {f"initial.{n}": p for n, p in start.items()}
    for step, (_, _, parameters) in enumerate(ends):
        tensors |= {f"step{step}.{n}": p for n, p in zip(start, parameters)}
    record = {"name": name, **LSTM, "options": options,
              "losses": [loss for loss, _ in evaluations],
              "spread": of_losses,
              "ends": [{"iterations": i, "evaluations": e, "spread": s}
                       for (i, e, _), s in zip(ends, of_ends)]}
    return record, {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def main():
    """Write both files."""
    setup()
    out = out_dir(__doc__)
    small = [record_small(*case) for case in SMALL]
    networks, tensors = [], {}
    for case in NETWORKS:
        record, of_case = record_network(*case)
        networks.append(record)
        tensors |= of_case
    write_json(out / "lbfgs.json", {"torch": torch.__version__, "small": small, "networks": networks,
                                   "searches": [record_search(n) for n in range(SEARCHES)]})
    write_safetensors(out / "lbfgs.safetensors", tensors, {"format": "lbfgs"})


if __name__ == "__main__":
    main()
