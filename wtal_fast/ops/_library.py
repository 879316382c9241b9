"""The only backend logic: schemas, references, compiled libraries, and which kernel the dispatcher runs.

Three backends: `reference` (plain PyTorch, every device), `native` (wtal_fast/_C_cpu and _C_cuda, where built) and
`triton` (wtal_fast/ops/triton, CUDA tensors; CPU tensors too under TRITON_INTERPRET=1). By default native kernels run
where there are any, Triton's on CUDA tensors where there are none, and the reference elsewhere. WTAL_FAST_BACKEND
chooses for the process, `use_backend` for a block. A backend that has no kernel for an op leaves that op as it was;
`backend_of` says what runs.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import warnings
from contextlib import contextmanager
from pathlib import Path

import torch

from wtal_fast.ops._autograd import autograd_kernel

NAMESPACE = "wtal_fast"
BACKENDS = ("reference", "native", "triton")
DEVICES = {"cpu": "CPU", "cuda": "CUDA"}  # device type -> dispatch key
PACKAGE = Path(__file__).resolve().parents[1]

_definitions = torch.library.Library(NAMESPACE, "DEF")
_references: dict[str, object] = {}


def define(schema: str, *, reference, fake):
    """Defines the op `schema`, with its plain-PyTorch `reference` for every device and its shape function `fake`.

    Returns the callable torch.ops.wtal_fast.<name>.default. Compiled kernels replace the reference on their device.
    """
    name = schema.partition("(")[0]
    _definitions.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    _definitions.impl(name, reference, "CompositeExplicitAutograd")
    torch.library.register_fake(f"{NAMESPACE}::{name}", fake)
    _references[name] = reference
    return getattr(getattr(torch.ops, NAMESPACE), name).default


def differentiable(name: str, *, backward, setup_context) -> None:
    """Gives op `name` its gradient; `backward` calls an op of its own, so each backend may replace that too.

    Differentiating that gradient again raises RuntimeError.
    """
    op = getattr(getattr(torch.ops, NAMESPACE), name).default
    _definitions.impl(name, autograd_kernel(op, backward=backward, setup_context=setup_context), "Autograd")


def _load(name: str) -> tuple[ctypes.CDLL | None, str]:
    """The compiled library wtal_fast/<name>, or why there is none."""
    if name == "_C_cuda" and torch.version.cuda is None:
        return None, f"torch {torch.__version__} has no CUDA"
    path = next(PACKAGE.glob(f"{name}*.so"), None)
    if path is None:
        needs = "torch, a C++ compiler" + (" and nvcc" if name == "_C_cuda" else "")
        return None, f"not built; install with: pip install --no-build-isolation . (needs {needs})"
    try:
        torch.ops.load_library(path)
        return ctypes.CDLL(str(path)), ""
    except OSError as error:
        return None, f"{path.name} does not load: {error}"


_libraries = {name: _load(name) for name in ("_C_cpu", "_C_cuda")}


def library(name: str) -> tuple[ctypes.CDLL | None, str]:
    """The compiled library `_C_cpu` or `_C_cuda` of this process, or None and why it is absent."""
    return _libraries[name]


class _Override:
    """Kernels put before those of the dispatcher's table, until removed."""

    def __init__(self, backend: str):
        self.backend = backend
        self.library = None
        if backend == "reference":
            keys = [key for name, key in (("_C_cpu", "CPU"), ("_C_cuda", "CUDA")) if _libraries[name][0]]
            self.library = torch.library.Library(NAMESPACE, "IMPL")
            self._register(_references, keys)
        elif backend == "triton":
            from wtal_fast.ops import triton

            self.library = triton.library()
            self._register(triton.kernels(), triton.dispatch_keys())
        elif backend == "" and torch.cuda.is_available() and importlib.util.find_spec("triton"):
            from wtal_fast.ops import triton

            self.library = triton.library()
            self._register({name: kernel for name, kernel in triton.kernels_on_demand().items()
                            if not torch._C._dispatch_has_kernel_for_dispatch_key(f"{NAMESPACE}::{name}", "CUDA")},
                           ["CUDA"])

    def _register(self, kernels, keys) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=r"[\s\S]*Overriding a previously registered kernel")
            for name, kernel in kernels.items():
                for key in keys:
                    self.library.impl(name, kernel, key, allow_override=True)

    def remove(self) -> None:
        if self.library is not None:
            self.library._destroy()


_active: _Override | None = None


def _activate(backend: str) -> None:
    global _active
    if backend not in (*BACKENDS, ""):
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, got {backend!r}")
    if backend == "native" and not any(library for library, _ in _libraries.values()):
        raise RuntimeError("backend 'native': " + "; ".join(f"{name}: {why}" for name, (_, why) in _libraries.items()))
    previous, _active = _active, None
    if previous is not None:
        previous.remove()
    _active = _Override(backend)


@contextmanager
def use_backend(name: str):
    """Runs the ops of the block on backend `name`: 'reference', 'native' or 'triton'. It holds for all threads."""
    before = _active.backend if _active is not None else ""
    _activate(name)
    try:
        yield
    finally:
        _activate(before)


def backend_of(op: str, device: str = "cpu") -> str:
    """Which backend the dispatcher runs for op `op` ('topk_mean') on tensors of `device` ('cpu', 'cuda').

    Read from the dispatcher's own table, which keeps the source line of each registration.
    """
    if op not in _references:
        raise ValueError(f"no op {op!r}; known: {', '.join(sorted(_references))}")
    row = f"{DEVICES[device]}: registered at "
    table = torch._C._dispatch_dump_table(f"{NAMESPACE}::{op}")
    source = next(line for line in table.splitlines() if line.startswith(row)).removeprefix(row)
    file = Path(source.rpartition(":")[0])
    if file.suffix in (".cpp", ".cu"):
        return "native"
    return "triton" if file.parent.name == "triton" else "reference"


def build_report() -> dict:
    """Versions, each compiled library or why it is absent, and which backend runs each op on each device."""
    cpu, _ = _libraries["_C_cpu"]
    if cpu is not None:
        cpu.wtal_fast_isa.restype = ctypes.c_char_p
    report = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda or "none",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "instruction set": cpu.wtal_fast_isa().decode() if cpu is not None else "none",
        "threads": torch.get_num_threads(),
    }
    for name, (library, why) in _libraries.items():
        report[name] = library._name if library is not None else why
    module = next(PACKAGE.glob("_numpy*.so"), None)
    report["_numpy"] = str(module) if module else "not built; needs a C++ compiler and pybind11 at install"
    report["ops"] = {op: {device: backend_of(op, device) for device in DEVICES} for op in sorted(_references)}
    return report


def activate_from_environment() -> None:
    """Applies WTAL_FAST_BACKEND. Called once all ops are defined."""
    _activate(os.environ.get("WTAL_FAST_BACKEND", ""))
