"""Time what waiting costs on a GPU, in microseconds; the last line printed is JSON.

Machine code of latency.cu and cluster.cu is read from the folder of this file (`latency.sm_90a.cubin` …), and
the driver is called directly: neither a compiler nor PyTorch is needed.
"""

import ctypes
import json
import statistics
import sys
from pathlib import Path

LAUNCHES = 1000
ROUNDS = 2000
REPEATS = 20


class Driver:
    """The CUDA driver; a call that fails raises."""

    def __init__(self):
        name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
        self.library = ctypes.CDLL(name)

    def __getattr__(self, name):
        function = getattr(self.library, name)

        def call(*args):
            code = function(*args)
            if code:
                raise RuntimeError(f"{name} gives error {code}")

        return call


cuda = Driver()


def number(ask, kind=ctypes.c_int):
    """What a call writes to its first argument."""
    value = kind()
    ask(ctypes.byref(value))
    return value


class Device:
    """Device 0 with a stream and two events."""

    def __init__(self):
        cuda.cuInit(0)
        self.device = number(lambda out: cuda.cuDeviceGet(out, 0))
        context = number(lambda out: cuda.cuDevicePrimaryCtxRetain(out, self.device), ctypes.c_void_p)
        cuda.cuCtxSetCurrent(context)
        self.stream = number(lambda out: cuda.cuStreamCreate(out, 1), ctypes.c_void_p)
        self.events = [number(lambda out: cuda.cuEventCreate(out, 0), ctypes.c_void_p) for _ in range(2)]
        self.capability = self.attribute(75), self.attribute(76)
        self.multiprocessors = self.attribute(16)
        self.memory = number(lambda out: cuda.cuMemAlloc_v2(out, ctypes.c_size_t(4096)), ctypes.c_uint64)

    def attribute(self, which):
        return number(lambda out: cuda.cuDeviceGetAttribute(out, which, self.device)).value

    def module(self, stem):
        """The machine code for this device, or None where there is none."""
        major, minor = self.capability
        folder = Path(__file__).parent
        own = f"sm_{major}{minor}" + ("a" if (major, minor) == (9, 0) else "")
        for name in (own, f"sm_{major}0"):
            path = folder / f"{stem}.{name}.cubin"
            if path.is_file():
                image = path.read_bytes()
                return number(lambda out: cuda.cuModuleLoadData(out, image), ctypes.c_void_p)
        return None

    def launch(self, function, grid, block, *args):
        pointers = (ctypes.c_void_p * max(len(args), 1))(*[ctypes.addressof(arg) for arg in args])
        cuda.cuLaunchKernel(function, grid, 1, 1, block, 1, 1, 0, self.stream, pointers, None)

    def microseconds(self, work):
        """Median time of `work` between two events."""
        times = []
        for _ in range(REPEATS + 2):
            cuda.cuEventRecord(self.events[0], self.stream)
            work()
            cuda.cuEventRecord(self.events[1], self.stream)
            cuda.cuStreamSynchronize(self.stream)
            passed = number(lambda out: cuda.cuEventElapsedTime(out, *self.events), ctypes.c_float)
            times.append(passed.value * 1e3)
        return statistics.median(times[2:])


def function(module, name):
    return number(lambda out: cuda.cuModuleGetFunction(out, module, name.encode()), ctypes.c_void_p)


def graph_of(device, kernel):
    """LAUNCHES launches one behind the other, as a graph."""
    cuda.cuStreamBeginCapture_v2(device.stream, 1)
    for _ in range(LAUNCHES):
        device.launch(kernel, 1, 32)
    graph = number(lambda out: cuda.cuStreamEndCapture(device.stream, out), ctypes.c_void_p)
    return number(lambda out: cuda.cuGraphInstantiateWithFlags(out, graph, ctypes.c_ulonglong(0)), ctypes.c_void_p)


def main():
    device = Device()
    rounds, memory = ctypes.c_uint(ROUNDS), device.memory
    plain = device.module("latency")
    if plain is None:
        sys.exit(f"no machine code for compute capability {device.capability} lies beside {__file__}")
    figures = {}

    kernel = function(plain, "nothing")

    def launches():
        for _ in range(LAUNCHES):
            device.launch(kernel, 1, 32)

    figures["kernel, launched"] = device.microseconds(launches) / LAUNCHES
    graph = graph_of(device, kernel)
    replay = device.microseconds(lambda: cuda.cuGraphLaunch(graph, device.stream))
    figures["kernel, in a graph"] = replay / LAUNCHES

    barrier = function(plain, "grid_barrier")
    for blocks in (2, device.multiprocessors):
        def meet():
            cuda.cuMemsetD8Async(memory, ctypes.c_ubyte(0), ctypes.c_size_t(4096), device.stream)
            device.launch(barrier, blocks, 128, memory, rounds)

        figures[f"grid barrier of {blocks} blocks"] = device.microseconds(meet) / ROUNDS

    cluster = device.module("cluster")
    if cluster is not None:
        barrier, store = function(cluster, "cluster_barrier"), function(cluster, "st_async")
        meet = device.microseconds(lambda: device.launch(barrier, 8, 128, rounds))
        figures["cluster barrier of 8 blocks"] = meet / ROUNDS
        send = device.microseconds(lambda: device.launch(store, 2, 32, rounds, memory))
        figures["st.async, one way"] = send / ROUNDS / 2
        arrived = (ctypes.c_uint * 2)()
        cuda.cuMemcpyDtoH_v2(arrived, memory, ctypes.c_size_t(8))
        # Block 0 hears round + 1 from block 1, which hears round.
        hears = ROUNDS * (ROUNDS - 1) // 2
        if list(arrived) != [hears + ROUNDS, hears]:
            sys.exit(f"st.async brought {list(arrived)}, not {[hears + ROUNDS, hears]}")
    for name, value in figures.items():
        print(f"{name:<32}{value:>10.3f} us")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
