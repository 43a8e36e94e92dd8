"""Write answers.json: loss and gradient of quantiles and of parameters of distributions, by torch.distributions."""

import torch
from torch import distributions as D
from torch.nn.functional import softplus

from common import out_dir, seeded, setup, write_json

LEAST = 1e-3
LEVELS = [0.1, 0.25, 0.5, 0.75, 0.9]


def gaussian(a, y):
    return -D.Normal(a[0], softplus(a[1]) + LEAST).log_prob(y[0])


def student_t(a, y):
    return -D.StudentT(2 + softplus(a[2]), a[0], softplus(a[1]) + LEAST).log_prob(y[0])


def negative_binomial(a, y):
    """Of `total_count` r and odds alpha mu, so that the mean is mu and the variance mu + alpha mu^2."""
    mu = y[1] * softplus(y[2] + a[0])
    alpha = (softplus(a[1]) + LEAST) / y[1].sqrt()
    return -D.NegativeBinomial(1 / alpha, probs=alpha * mu / (1 + alpha * mu)).log_prob(y[0])


def quantiles(a, y):
    m = len(LEVELS) // 2
    below = a[0] - softplus(a[1:m + 1]).cumsum(0)
    above = a[0] + softplus(a[m + 1:]).cumsum(0)
    f = torch.cat([below.flip(0), a[:1], above])
    q = torch.tensor(LEVELS)
    return (2 * torch.maximum(q * (y[0] - f), (q - 1) * (y[0] - f))).mean()


def main():
    out = out_dir(__doc__)
    setup()
    random, cases = seeded(7), []
    for name, loss, parameters in [("quantiles", quantiles, len(LEVELS)), ("gaussian", gaussian, 2),
                                   ("student-t", student_t, 3), ("negative-binomial", negative_binomial, 2)]:
        for at in range(6):
            a = (2 * torch.randn(parameters, generator=random)).requires_grad_()
            if loss is negative_binomial:
                size = [1.0, 3.5, 80.0, 15000.0, 2.0, 40.0][at]
                count = torch.poisson(torch.tensor(size), generator=random) if at < 5 else torch.tensor(0.0)
                y = torch.stack([count, torch.tensor(size), torch.randn((), generator=random)])
            else:
                y = 3 * torch.randn(1, generator=random)
            value = loss(a, y)
            value.backward()
            cases.append({"answer": name, "a": a.tolist(), "y": y.tolist(), "value": value.item(),
                          "grad": a.grad.tolist()})
    write_json(out / "answers.json", {"levels": LEVELS, "torch": torch.__version__, "cases": cases})


if __name__ == "__main__":
    main()
