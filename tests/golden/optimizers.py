"""Write optimizers.json: what PyTorch's optimizers do to seven parameters over ten steps.

The gradient is A p + sin(3 p), with entry 3 always zero. It is stored before clipping and weight
decay, so that a replay needs no network: feed the stored gradients, compare the parameters.
"""

import torch

from common import out_dir, seeded, setup, write_json

STEPS, SIZE, ALWAYS_ZERO = 10, 7, 3

SGD = {"lr": 0.05, "momentum": 0.0, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}
ADAGRAD = {"lr": 0.1, "lr_decay": 0.0, "weight_decay": 0.0,
           "initial_accumulator_value": 0.0, "eps": 1e-10}
RMSPROP = {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0,
           "momentum": 0.0, "centered": False}
ADAM = {"lr": 0.1, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0}
ADAMW = ADAM | {"weight_decay": 0.01}

# name, optimizer, options, clipping
CASES = [
    ("sgd", "sgd", SGD, {}),
    ("sgd_momentum", "sgd", SGD | {"momentum": 0.9}, {}),
    ("sgd_momentum_dampening", "sgd", SGD | {"momentum": 0.9, "dampening": 0.3}, {}),
    ("sgd_nesterov", "sgd", SGD | {"momentum": 0.9, "nesterov": True}, {}),
    ("sgd_weight_decay", "sgd", SGD | {"weight_decay": 0.1}, {}),
    ("sgd_nesterov_weight_decay", "sgd",
     SGD | {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}, {}),
    ("adagrad", "adagrad", ADAGRAD, {}),
    ("adagrad_lr_decay", "adagrad", ADAGRAD | {"lr_decay": 0.2}, {}),
    ("adagrad_initial_accumulator", "adagrad",
     ADAGRAD | {"initial_accumulator_value": 0.1}, {}),
    ("adagrad_weight_decay", "adagrad", ADAGRAD | {"weight_decay": 0.1}, {}),
    ("adagrad_all", "adagrad",
     ADAGRAD | {"lr_decay": 0.05, "initial_accumulator_value": 0.5, "weight_decay": 0.02,
                "eps": 1e-3}, {}),
    ("rmsprop", "rmsprop", RMSPROP, {}),
    ("rmsprop_centered", "rmsprop", RMSPROP | {"centered": True}, {}),
    ("rmsprop_momentum", "rmsprop", RMSPROP | {"momentum": 0.9}, {}),
    ("rmsprop_all", "rmsprop",
     RMSPROP | {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1, "momentum": 0.5,
                "centered": True}, {}),
    ("adam", "adam", ADAM, {}),
    ("adam_betas", "adam", ADAM | {"beta1": 0.8, "beta2": 0.95}, {}),
    ("adam_eps", "adam", ADAM | {"eps": 1e-3}, {}),
    ("adam_weight_decay", "adam", ADAM | {"weight_decay": 0.1}, {}),
    ("adamw", "adamw", ADAMW, {}),
    ("adamw_betas", "adamw", ADAMW | {"beta1": 0.8, "beta2": 0.95, "weight_decay": 0.3}, {}),
    ("adam_tf", "adam_tf", ADAM, {}),
    ("adam_tf_eps", "adam_tf", ADAM | {"eps": 1e-3}, {}),
    ("clip_value_sgd", "sgd", SGD, {"clip_value": 0.5}),
    ("clip_value_sgd_weight_decay", "sgd", SGD | {"weight_decay": 0.3}, {"clip_value": 0.5}),
    ("clip_norm_sgd", "sgd", SGD | {"lr": 0.2}, {"clip_norm": 3.0}),
    ("clip_norm_adam", "adam", ADAM, {"clip_norm": 2.5}),
]


class AdamTf:
    """Adam with epsilon outside the bias correction, as TensorFlow 1 has it."""

    def __init__(self, parameters, lr, betas, eps, weight_decay):
        assert weight_decay == 0.0
        self.p, = parameters
        self.lr, self.betas, self.eps = lr, betas, eps
        self.m, self.v, self.t = torch.zeros(SIZE), torch.zeros(SIZE), 0

    @torch.no_grad()
    def step(self):
        """theta -= lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps), with m, v running means."""
        (b1, b2), g = self.betas, self.p.grad
        self.t += 1
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g * g
        rate = self.lr * (1 - b2 ** self.t) ** 0.5 / (1 - b1 ** self.t)
        self.p -= rate * self.m / (self.v.sqrt() + self.eps)


OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "adagrad": torch.optim.Adagrad,
    "rmsprop": torch.optim.RMSprop,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adam_tf": AdamTf,
}


def make(kind, parameter, options):
    """Build an optimizer; the JSON names the two betas apart."""
    options = dict(options)
    if "beta1" in options:
        options["betas"] = options.pop("beta1"), options.pop("beta2")
    return OPTIMIZERS[kind]([parameter], **options)


def problem():
    """The starting point and the gradient function."""
    generator = seeded(1)
    matrix = torch.randn(SIZE, SIZE, generator=generator)
    matrix = matrix @ matrix.T / SIZE
    start = 1.5 * torch.randn(SIZE, generator=generator)

    def gradient(p):
        g = matrix @ p + torch.sin(3 * p)
        g[ALWAYS_ZERO] = 0.0
        return g

    return start, gradient


def record(name, kind, options, clip):
    """Follow one optimizer."""
    start, gradient = problem()
    p = start.clone().requires_grad_()
    optimizer = make(kind, p, options)
    gradients, parameters = [], []
    for _ in range(STEPS):
        p.grad = gradient(p.detach())
        gradients.append(p.grad.tolist())
        if "clip_value" in clip:
            torch.nn.utils.clip_grad_value_([p], clip["clip_value"])
        if "clip_norm" in clip:
            torch.nn.utils.clip_grad_norm_([p], clip["clip_norm"])
        optimizer.step()
        parameters.append(p.tolist())
    source = "tf1 formula" if kind == "adam_tf" else "torch"
    return {"name": name, "source": source, "optimizer": kind, "options": options, "clip": clip,
            "p0": start.tolist(), "gradients": gradients, "parameters": parameters}


def main():
    """Write every case."""
    setup()
    out = out_dir(__doc__)
    cases = [record(*case) for case in CASES]
    write_json(out / "optimizers.json", {"torch": torch.__version__, "cases": cases})


if __name__ == "__main__":
    main()
