"""One LSTM of PyTorch, timed on request: a line of JSON on stdin, a line of JSON as the answer.

    {"load": FILE, "shape": SHAPE, "batches": N}     -> {"y_sum": …, "loss_1": …, "loss_10": …}
    {"time": "infer", "samples": N, "seconds": [least, most]} -> [milliseconds, …]
    {"time": "train", …}
    {"step": FILE, "shape": SHAPE, "batches": N}     -> {"before": …, "peak": …}, bytes of resident memory

FILE is a safetensors file with the weights (`lstm.weight_ih_l0`, …, `head.weight`, `head.bias`) and the
batches `x.0`, `target.0`, …, time first.
"""

import argparse
import itertools
import json
import math
import struct
import sys
import time

import torch

DTYPES = {"F32": torch.float32, "F64": torch.float64}
SAMPLE = 2e-3  # a sample is so long at least, in seconds


def read_safetensors(path):
    """Tensors of a file by name."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), bytearray(file.read())
    header.pop("__metadata__", None)
    return {
        name: torch.frombuffer(memoryview(data)[slice(*entry["data_offsets"])], dtype=DTYPES[entry["dtype"]])
        .reshape(entry["shape"]).clone()
        for name, entry in header.items()
    }


class Network(torch.nn.Module):
    """LSTM layers, a readout and, if there are outputs, a linear head."""

    def __init__(self, shape, dtype):
        super().__init__()
        hidden, self.every = shape["hidden"], shape["readout"] == "all"
        if len(set(hidden)) == 1:
            stacks = [torch.nn.LSTM(shape["inputs"], hidden[0], len(hidden), dtype=dtype)]
        else:
            widths = [shape["inputs"], *hidden]
            stacks = [torch.nn.LSTM(i, h, dtype=dtype) for i, h in itertools.pairwise(widths)]
        self.stacks = torch.nn.ModuleList(stacks)
        outputs = shape["outputs"]
        self.head = torch.nn.Linear(hidden[-1], outputs, dtype=dtype) if outputs else torch.nn.Identity()

    def load(self, tensors):
        """Take over weights; layer k of the file may be layer 0 of the k-th stack."""
        layer = 0
        with torch.no_grad():
            for stack in self.stacks:
                for own in range(stack.num_layers):
                    for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                        getattr(stack, f"{part}_l{own}").copy_(tensors[f"lstm.{part}_l{layer}"])
                    layer += 1
            for name, parameter in self.head.named_parameters():
                parameter.copy_(tensors[f"head.{name}"])

    def forward(self, x, states=None):
        """Output of the read steps, and the states of all stacks."""
        last = []
        for index, stack in enumerate(self.stacks):
            x, state = stack(x, states[index] if states else None)
            last.append(state)
        return self.head(x if self.every else x[-1]), last


class Worker:
    """A network with its batches, its optimizer and, if it is a stream, its state."""

    def __init__(self, request, file, device, graph):
        self.graph, shape = graph, request["shape"]
        tensors = read_safetensors(file)
        self.device, self.stream = device, shape["stream"]
        self.network = Network(shape, DTYPES[shape["dtype"].upper()]).to(device)
        self.network.load(tensors)
        for stack in self.network.stacks:
            stack.flatten_parameters()
        self.batches = [(tensors[f"x.{i}"].to(device), tensors[f"target.{i}"].to(device))
                        for i in range(request["batches"])]
        parameters = self.network.parameters()
        self.optimizer = None
        if not shape["infer_only"]:
            self.optimizer = torch.optim.Adam(parameters, lr=1e-3, capturable=graph)
        self.states, self.turn, self.recorded = None, 0, {}
        self.x, self.target = self.batches[0]

    def next(self):
        """Make the next batch the current one."""
        self.x, self.target = self.batches[self.turn % len(self.batches)]
        self.turn += 1

    def infer(self):
        self.next()
        return self.predict()

    def train(self):
        self.next()
        return self.step()

    def predict(self):
        with torch.no_grad():
            y, states = self.network(self.x, self.states)
        if self.stream:
            self.states = states
        return y

    def step(self):
        x, target = self.x, self.target
        self.optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(self.network(x)[0], target)
        loss.backward()
        self.optimizer.step()
        return loss

    def prove(self):
        """The first inference and the first ten steps."""
        proof = {"y_sum": self.infer().double().sum().item(), "loss_1": None, "loss_10": None}
        self.turn = 0
        if self.optimizer:
            losses = [self.train().item() for _ in range(10)]
            proof |= {"loss_1": losses[0], "loss_10": losses[-1]}
        return proof

    def replay(self, what):
        """`what` as a CUDA graph: each run copies the next batch to where the graph reads it."""
        if what not in self.recorded:
            run = self.predict if what == "infer" else self.step
            x, target = (tensor.clone() for tensor in self.batches[0])
            self.x, self.target = x, target
            aside = torch.cuda.Stream()
            aside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(aside):
                for _ in range(3):
                    run()
            torch.cuda.current_stream().wait_stream(aside)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                run()

            def replay():
                self.next()
                x.copy_(self.x)
                target.copy_(self.target)
                graph.replay()

            self.recorded[what] = replay
        return self.recorded[what]

    def time(self, request):
        """Milliseconds of one run, as `sample` of the Rust side takes them."""
        what = request["time"]
        run = self.replay(what) if self.graph else self.infer if what == "infer" else self.train
        least, most = request["seconds"]
        start = time.perf_counter()
        self.times(run, 1)
        repeat = min(max(math.ceil(SAMPLE / (time.perf_counter() - start)), 1), 10_000)
        taken = []
        while True:
            taken.append(self.times(run, repeat) * 1e3 / repeat)
            spent = time.perf_counter() - start
            if spent >= most or (len(taken) >= request["samples"] and spent >= least):
                return taken

    def times(self, run, repeat):
        """Seconds of `repeat` runs."""
        before = time.perf_counter()
        for _ in range(repeat):
            run()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - before


def high_water():
    """The most memory that this process has held so far, in bytes: VmHWM of proc(5)."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM:"))
    return 1024 * int(line.split()[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    parser.add_argument("--tf32", action="store_true", help="products of f32 in TF32")
    parser.add_argument("--graph", action="store_true", help="replay passes and steps as CUDA graphs")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = args.tf32

    def answer(value):
        print(json.dumps(value), flush=True)

    answer({"version": torch.__version__})
    worker = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "step" in request:
                before = high_water()
                worker = Worker(request, request["step"], args.device, args.graph)
                worker.train()
                answer({"before": before, "peak": high_water()})
            elif "load" in request:
                worker = Worker(request, request["load"], args.device, args.graph)
                answer(worker.prove())
            else:
                answer(worker.time(request))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
