"""Write losses.json: value and gradient of each loss on small arrays of shape [T, B, O].

A loss is an elementwise error, times the step's weight if there are weights, then a reduction:
`mean` over all elements, `sum` over all, or `batch_mean`, the sum divided by B.
Weights are given as they are and divided by their mean before use.
"""

import torch
from torch.nn import functional as F

from common import out_dir, seeded, setup, write_json

SHAPES = [(3, 2, 2), (1, 3, 3)]
WEIGHTS = [1.0, 0.75, 0.2]


def squared(pred, target):
    """(p - t)^2"""
    return F.mse_loss(pred, target, reduction="none")


def half_squared(pred, target):
    """(p - t)^2 / 2"""
    return 0.5 * F.mse_loss(pred, target, reduction="none")


def absolute(pred, target):
    """|p - t|, with gradient 0 where they are equal"""
    return F.l1_loss(pred, target, reduction="none")


def huber(pred, target, delta):
    """(p - t)^2 / 2 if |p - t| <= delta, else delta (|p - t| - delta / 2)"""
    return F.huber_loss(pred, target, reduction="none", delta=delta)


def relative_absolute(pred, target):
    """|p - t| / t, with all targets positive here"""
    return (pred - target).abs() / target


REDUCTIONS = {
    "mean": torch.mean,
    "sum": torch.sum,
    "batch_mean": lambda error: error.sum() / error.shape[1],
}

# name, elementwise error, options, reduction
LOSSES = [
    ("mse", squared, {}, "mean"),
    ("sum_squares", squared, {}, "sum"),
    ("mse_sum_horizon", squared, {}, "batch_mean"),
    ("half_mse", half_squared, {}, "mean"),
    ("mae", absolute, {}, "mean"),
    ("huber_0.5", huber, {"delta": 0.5}, "mean"),
    ("huber_1", huber, {"delta": 1.0}, "mean"),
    ("huber_2", huber, {"delta": 2.0}, "mean"),
    ("relative_absolute", relative_absolute, {}, "mean"),
]


def arrays(shape):
    """Positive targets; predictions that miss by up to about 3 either way, the first one by 0."""
    generator = seeded(2)
    target = 0.5 + 4 * torch.rand(*shape, generator=generator)
    pred = target + 1.3 * torch.randn(*shape, generator=generator)
    pred[0, 0, 0] = target[0, 0, 0]
    return pred, target


def record(shape, name, error, options, reduction, weights):
    """Value and gradient of one loss."""
    pred, target = arrays(shape)
    pred.requires_grad_()
    elementwise = error(pred, target, **options)
    if weights:
        w = torch.tensor(weights)
        elementwise = elementwise * (w / w.mean())[:, None, None]
    value = REDUCTIONS[reduction](elementwise)
    value.backward()
    return {
        "name": f"{name}{'_weighted' if weights else ''}_{'x'.join(map(str, shape))}",
        "error": error.__name__, "formula": error.__doc__, "options": options,
        "reduction": reduction, "shape": list(shape), "weights": weights,
        "pred": pred.flatten().tolist(), "target": target.flatten().tolist(),
        "value": value.item(), "grad": pred.grad.flatten().tolist(),
    }


def main():
    """Write every loss, plain for both shapes and weighted for the first."""
    setup()
    out = out_dir(__doc__)
    cases = [record(shape, *loss, None) for shape in SHAPES for loss in LOSSES]
    cases += [record(SHAPES[0], *loss, WEIGHTS) for loss in LOSSES]
    write_json(out / "losses.json", {"torch": torch.__version__, "cases": cases})


if __name__ == "__main__":
    main()
