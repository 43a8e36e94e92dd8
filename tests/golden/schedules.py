"""Write schedules.json: the learning rate of optimizer steps 0 to 40 under each schedule.

Entry k is the rate with which step k (counted from 0) changes the parameters: the schedule
advances once after every optimizer step. Each formula below is checked against PyTorch here,
except that of steps counted in samples, which PyTorch does not have.
"""

import math

import torch
from torch.optim import lr_scheduler as torch_lr

from common import out_dir, setup, write_json

STEPS = 41


def step(k, lr, size, gamma):
    """lr gamma^floor(k / size)"""
    return lr * gamma ** (k // size)


def step_samples(k, lr, size, gamma, batch):
    """lr gamma^floor(k batch / size), with the size counted in samples"""
    return lr * gamma ** (k * batch // size)


def exponential(k, lr, gamma):
    """lr gamma^k"""
    return lr * gamma ** k


def cosine(k, lr, t_max, eta_min):
    """eta_min + (lr - eta_min) (1 + cos(pi k / t_max)) / 2; rises again after t_max"""
    return eta_min + (lr - eta_min) * (1 + math.cos(math.pi * k / t_max)) / 2


def warmup_constant(k, lr, start_factor, warmup):
    """lr (start_factor + (1 - start_factor) k / warmup) for k < warmup, then lr"""
    return lr * (start_factor + (1 - start_factor) * min(k / warmup, 1))


def warmup_cosine(k, lr, start_factor, warmup, t_max, eta_min):
    """as warmup_constant for k < warmup, then cosine of k - warmup"""
    if k < warmup:
        return warmup_constant(k, lr, start_factor, warmup)
    return cosine(k - warmup, lr, t_max, eta_min)


def linear_then(after):
    """PyTorch's linear warm-up followed by another schedule."""
    def build(o, start_factor, warmup, **rest):
        linear = torch_lr.LinearLR(o, start_factor, 1.0, warmup)
        return torch_lr.SequentialLR(o, [linear, after(o, **rest)], [warmup])
    return build


PYTORCH = {
    step: lambda o, size, gamma: torch_lr.StepLR(o, size, gamma),
    step_samples: lambda o, size, gamma, batch:
        torch_lr.LambdaLR(o, lambda k: step_samples(k, 1.0, size, gamma, batch)),
    exponential: torch_lr.ExponentialLR,
    cosine: lambda o, t_max, eta_min: torch_lr.CosineAnnealingLR(o, t_max, eta_min),
    warmup_constant: linear_then(lambda o: torch_lr.ConstantLR(o, 1.0, 1)),
    warmup_cosine: linear_then(
        lambda o, t_max, eta_min: torch_lr.CosineAnnealingLR(o, t_max, eta_min)),
}

CASES = [
    ("step", step, {"lr": 0.1, "size": 7, "gamma": 0.5}),
    ("step_every", step, {"lr": 0.1, "size": 1, "gamma": 0.9}),
    ("step_samples", step_samples, {"lr": 0.005, "size": 40, "gamma": 0.1, "batch": 3}),
    ("exponential", exponential, {"lr": 0.1, "gamma": 0.93}),
    ("cosine", cosine, {"lr": 0.1, "t_max": 40, "eta_min": 0.001}),
    ("cosine_to_zero", cosine, {"lr": 0.1, "t_max": 40, "eta_min": 0.0}),
    ("cosine_rises_again", cosine, {"lr": 0.1, "t_max": 15, "eta_min": 0.01}),
    ("warmup_constant", warmup_constant, {"lr": 0.1, "start_factor": 0.1, "warmup": 5}),
    ("warmup_cosine", warmup_cosine,
     {"lr": 0.1, "start_factor": 0.25, "warmup": 8, "t_max": 32, "eta_min": 0.001}),
]


def record(name, formula, options):
    """Let PyTorch run the schedule; assert that the formula says the same."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=options["lr"])
    rest = {key: value for key, value in options.items() if key != "lr"}
    schedule = PYTORCH[formula](optimizer, **rest)
    rates = []
    for k in range(STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        expected = formula(k, **options)
        assert math.isclose(rates[k], expected, rel_tol=1e-12, abs_tol=1e-16), (name, k)
        optimizer.step()
        schedule.step()
    source = "formula" if formula is step_samples else "torch"
    return {"name": name, "source": source, "schedule": formula.__name__,
            "formula": formula.__doc__, "options": options, "lr": rates}


def main():
    """Write every case."""
    setup()
    out = out_dir(__doc__)
    cases = [record(*case) for case in CASES]
    write_json(out / "schedules.json", {"torch": torch.__version__, "cases": cases})


if __name__ == "__main__":
    main()
