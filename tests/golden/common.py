"""What the golden generators share: file writers that give the same bytes for the same values."""

import argparse
import json
import struct
from pathlib import Path

import torch

DTYPES = {torch.float64: "F64", torch.int64: "I64"}


def setup():
    """Compute in f64 on one thread, so that sums keep their order."""
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)


def out_dir(description):
    """Parse the one option of the small generators: the folder to write to."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent,
                        help="folder to write to (default: this one)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    return out


def seeded(seed):
    """A random generator of its own, independent of torch's global one."""
    return torch.Generator().manual_seed(seed)


def write_safetensors(path, tensors, metadata):
    """Write tensors in order of name; the header's keys and padding are fixed too.

    The `safetensors` package keeps metadata in hash order, so its files differ from run to run.
    """
    header, chunks, offset = {"__metadata__": metadata}, [], 0
    for name in sorted(tensors):
        tensor = tensors[name].detach().contiguous()
        data = tensor.numpy().tobytes()
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def write_json(path, value):
    """Write JSON with floats that parse back to the same bits and flat lists on one line."""
    path.write_text(pretty(value) + "\n")


def pretty(value, indent=""):
    """Indent what holds objects or lists; keep the rest on one line."""
    nested, inner = (dict, list), indent + " "
    children = value.values() if isinstance(value, dict) else value
    if not isinstance(value, nested) or not any(isinstance(c, nested) for c in children):
        return json.dumps(value, allow_nan=False)
    if isinstance(value, dict):
        items = [f"{json.dumps(k)}: {pretty(v, inner)}" for k, v in value.items()]
        opening, closing = "{", "}"
    else:
        items = [pretty(v, inner) for v in value]
        opening, closing = "[", "]"
    body = f",\n{inner}".join(items)
    return f"{opening}\n{inner}{body}\n{indent}{closing}"
