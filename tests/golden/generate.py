"""Write "lstm-golden-1" cases: an LSTM's inputs with PyTorch's f64 outputs and gradients.

    python generate.py --set committed --out cases
    python generate.py --set fresh --seed 7 --count 40 --out DIR

Each case is one safetensors file. Its loss is sum(y*dy) + sum(hn*dhn) + sum(cn*dcn).
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
import random

import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from common import seeded, setup, write_safetensors


@dataclass
class Case:
    """One network and one batch; `scale` multiplies PyTorch's usual initial weights."""

    steps: int = 5
    batch: int = 3
    input: int = 4
    hidden: int = 6
    layers: int = 1
    proj: int = 0
    bidirectional: bool = False
    bias: bool = True
    scale: float = 1.0
    zero_state: bool = False
    lengths: list[int] | None = None


COMMITTED = {
    "plain": Case(),
    "layers_2": Case(layers=2),
    "layers_3": Case(layers=3, input=2, hidden=5),
    "layers_12": Case(steps=4, batch=2, input=3, hidden=4, layers=12),
    "one_step": Case(steps=1, layers=2),
    "one_row": Case(batch=1, layers=2),
    "one_step_one_row": Case(steps=1, batch=1),
    "no_bias": Case(layers=2, bias=False),
    "saturated": Case(steps=8, layers=2, scale=20.0),
    "saturated_hard": Case(steps=6, hidden=5, scale=50.0),
    "zero_state": Case(layers=2, zero_state=True),
    "input_1": Case(steps=7, input=1),
    "one_unit": Case(input=1, hidden=1, layers=2),
    "odd_sizes": Case(steps=5, batch=3, input=3, hidden=17),
    "wide": Case(steps=12, batch=2, input=3, hidden=33),
    "long": Case(steps=100, batch=2, input=2, hidden=8),
    "bidirectional": Case(layers=2, hidden=4, bidirectional=True),
    "projection": Case(layers=2, hidden=7, proj=3),
    "lengths": Case(steps=6, batch=4, layers=2, lengths=[3, 6, 1, 4]),
}


def fresh(rng, count):
    """Draw `count` random cases; the kinds take turns, so that any 18 hold each of them."""

    def plain(**fixed):
        sizes = {
            "steps": rng.randint(1, 20),
            "batch": rng.randint(1, 9),
            "input": rng.randint(1, 20),
            "hidden": rng.randint(1, 40),
            "layers": rng.randint(1, 4),
            "bias": rng.random() < 0.8,
            "zero_state": rng.random() < 0.2,
        }
        return Case(**{**sizes, **fixed})

    def ragged(**fixed):
        case = plain(**fixed)
        case.lengths = [rng.randint(1, case.steps) for _ in range(case.batch)]
        return case

    kinds = {
        "plain": plain,
        "deep": lambda: plain(layers=rng.randint(5, 12), hidden=rng.randint(2, 24)),
        "layers_12": lambda: plain(layers=12, hidden=rng.randint(2, 16)),
        "one_step": lambda: plain(steps=1),
        "one_row": lambda: plain(batch=1),
        "one_step_one_row": lambda: plain(steps=1, batch=1),
        "no_bias": lambda: plain(bias=False),
        "saturated": lambda: plain(scale=rng.uniform(20, 50)),
        "saturated_deep": lambda: plain(layers=rng.randint(5, 12), hidden=rng.randint(2, 16),
                                        scale=rng.uniform(20, 50)),
        "zero_state": lambda: plain(zero_state=True),
        "large": lambda: plain(hidden=rng.randint(64, 130), layers=rng.randint(1, 2)),
        "large_long": lambda: plain(hidden=rng.randint(128, 130), layers=1,
                                    steps=rng.randint(100, 120)),
        "long": lambda: plain(steps=rng.randint(80, 200), hidden=rng.randint(4, 24)),
        "input_1": lambda: plain(input=1),
        "bidirectional": lambda: plain(bidirectional=True),
        "projection": lambda: plain(hidden=rng.randint(8, 40), proj=rng.randint(1, 7)),
        "lengths": ragged,
        "all_options": lambda: ragged(bidirectional=True, hidden=rng.randint(8, 20),
                                      proj=rng.randint(1, 7)),
    }
    names = list(kinds)
    for index in range(count):
        name = names[index % len(names)]
        yield f"{index:03}_{name}", kinds[name]()


def build(case, generator):
    """Run one case forward and backward; return its tensors and metadata."""

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    lstm = torch.nn.LSTM(case.input, case.hidden, case.layers, bias=case.bias,
                         bidirectional=case.bidirectional, proj_size=case.proj)
    bound = case.scale / case.hidden ** 0.5
    for parameter in lstm.parameters():
        torch.nn.init.uniform_(parameter, -bound, bound, generator=generator)

    directions = 2 if case.bidirectional else 1
    state = case.proj or case.hidden
    x = normal(case.steps, case.batch, case.input)
    h0 = 0.5 * normal(case.layers * directions, case.batch, state)
    c0 = normal(case.layers * directions, case.batch, case.hidden)
    if case.zero_state:
        h0, c0 = torch.zeros_like(h0), torch.zeros_like(c0)
    given = {"x": x, "h0": h0, "c0": c0}
    for tensor in given.values():
        tensor.requires_grad_()

    if case.lengths is None:
        y, (hn, cn) = lstm(x, (h0, c0))
    else:
        lengths = torch.tensor(case.lengths)
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        packed, (hn, cn) = lstm(packed, (h0, c0))
        y, _ = pad_packed_sequence(packed, total_length=case.steps)

    results = {"y": y, "hn": hn, "cn": cn}
    loss_gradients = {f"d{name}": normal(*t.shape) for name, t in results.items()}
    sum((t * loss_gradients[f"d{name}"]).sum() for name, t in results.items()).backward()

    tensors = {**given, **results, **loss_gradients}
    tensors |= {f"d{name}": tensor.grad for name, tensor in given.items()}
    for name, parameter in lstm.named_parameters():
        tensors[f"param.{name}"] = parameter
        tensors[f"grad.{name}"] = parameter.grad
    if case.lengths is not None:
        tensors["lengths"] = lengths

    metadata = {
        "format": "lstm-golden-1",
        "layers": str(case.layers),
        "input": str(case.input),
        "hidden": str(case.hidden),
        "proj": str(case.proj),
        "bidirectional": str(case.bidirectional).lower(),
        "bias": str(case.bias).lower(),
    }
    return tensors, metadata


def main():
    """Write the chosen set, one file per case."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument("--set", choices=["committed", "fresh"], default="committed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=18, help="cases of the fresh set")
    args = parser.parse_args()

    setup()
    args.out.mkdir(parents=True, exist_ok=True)
    cases = (COMMITTED.items() if args.set == "committed"
             else fresh(random.Random(args.seed), args.count))
    for index, (name, case) in enumerate(cases):
        tensors, metadata = build(case, seeded(1_000_003 * args.seed + index))
        write_safetensors(args.out / f"{name}.safetensors", tensors, metadata)


if __name__ == "__main__":
    main()
