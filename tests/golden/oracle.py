"""Write oracle.json: one tiny LSTM layer with every gradient, in plain JSON.

It is built as a golden case is (see generate.py) and needs no safetensors reader.
"""

import torch

from common import out_dir, seeded, setup, write_json
from generate import Case, build


def main():
    """Write the one case."""
    setup()
    out = out_dir(__doc__)
    case = Case(steps=3, batch=2, input=2, hidden=3)
    tensors, _ = build(case, seeded(3))
    write_json(out / "oracle.json", {
        "torch": torch.__version__,
        "dims": {"T": case.steps, "B": case.batch, "I": case.input, "H": case.hidden},
        "tensors": {
            name: {"shape": list(tensor.shape), "data": tensor.flatten().tolist()}
            for name, tensor in sorted(tensors.items())
        },
    })


if __name__ == "__main__":
    main()
