"""Write training.json and training.safetensors: two small networks, trained for ten steps.

Weights and data are in the safetensors file, settings and losses in the JSON file.
The loss of a step is the one whose gradient that step uses; `final_loss` comes after the last.
"""

import torch

from common import out_dir, seeded, setup, write_json, write_safetensors

STEPS = 10

CASES = {
    "last_step": {
        "steps": 6, "batch": 4, "input": 3, "hidden": [5, 5], "output": 2, "readout": "last",
        "loss": "squared", "reduction": "mean", "optimizer": "adam",
        "options": {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0,
                    "amsgrad": False},
    },
    "every_step": {
        "steps": 7, "batch": 3, "input": 2, "hidden": [6], "output": 1, "readout": "every",
        "loss": "squared", "reduction": "sum", "optimizer": "sgd",
        "options": {"lr": 0.005, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0,
                    "nesterov": False},
    },
}


def make_optimizer(kind, parameters, options):
    """Build the optimizer; the JSON names the two betas apart."""
    options = dict(options)
    if kind == "sgd":
        return torch.optim.SGD(parameters, **options)
    betas = options.pop("beta1"), options.pop("beta2")
    return torch.optim.Adam(parameters, betas=betas, **options)


def train(case, generator):
    """Train one network; return its tensors and its losses."""
    hidden = case["hidden"]
    network = torch.nn.ModuleDict({
        "lstm": torch.nn.LSTM(case["input"], hidden[0], len(hidden)),
        "head": torch.nn.Linear(hidden[-1], case["output"]),
    })
    for parameter in network.parameters():
        torch.nn.init.uniform_(parameter, -0.6, 0.6, generator=generator)

    last = case["readout"] == "last"
    x = torch.randn(case["steps"], case["batch"], case["input"], generator=generator)
    target_steps = 1 if last else case["steps"]
    target = torch.randn(target_steps, case["batch"], case["output"], generator=generator)
    tensors = {"data.x": x, "data.target": target}
    tensors |= {f"initial.{n}": p.detach().clone() for n, p in network.named_parameters()}

    def loss():
        y, _ = network["lstm"](x)
        pred = network["head"](y[-1:] if last else y)
        return torch.nn.functional.mse_loss(pred, target, reduction=case["reduction"])

    optimizer = make_optimizer(case["optimizer"], network.parameters(), case["options"])
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = loss()
        losses.append(value.item())
        value.backward()
        optimizer.step()
    tensors |= {f"final.{n}": p for n, p in network.named_parameters()}
    return tensors, {"losses": losses, "final_loss": loss().item()}


def main():
    """Train both networks."""
    setup()
    out = out_dir(__doc__)
    all_tensors, records = {}, []
    for seed, (name, case) in enumerate(CASES.items()):
        tensors, losses = train(case, seeded(seed))
        all_tensors |= {f"{name}.{key}": tensor for key, tensor in tensors.items()}
        records.append({"name": name, **case, **losses})
    write_json(out / "training.json", {"torch": torch.__version__, "cases": records})
    write_safetensors(out / "training.safetensors", all_tensors, {"format": "training"})


if __name__ == "__main__":
    main()
