"""Builds the compiled parts of wtal_fast; metadata is in pyproject.toml.

wtal_fast/_numpy          pybind11 module, NumPy only: needs a C++ compiler
wtal_fast/_C_cpu.abi3.so  op kernels for CPUs: needs torch >= 2.11 headers as well (pip install --no-build-isolation .)
wtal_fast/_C_cuda.abi3.so op kernels for NVIDIA GPUs: needs nvcc as well, but no GPU and no CUDA build of torch

A part whose tools are missing is left out and the package runs on its reference backend, except that WTAL_NATIVE=1
makes a missing NumPy or CPU part an error, WTAL_CUDA=1 a missing CUDA part; 0 leaves them out. Unasked, CUDA kernels
are built beside a CUDA build of torch only; WTAL_CUDA_ARCHITECTURES="80 90" names GPUs.
Sources are globbed. A file in csrc/cpu/isa/ is compiled once per instruction set of ISA_FLAGS, each in its namespace;
the NumPy module takes those of its own functions.
"""

import os
import platform
import runpy
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob
from importlib import metadata, util
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

OLDEST_TORCH = (2, 11)
CXX_FLAGS = ["-std=c++20", "-O3", "-g0", "-fvisibility=hidden", "-ffp-contract=off", "-Wno-unknown-pragmas",
             "-fno-trapping-math"]  # exception flags are never read, and keep loops with a division scalar
ISA_FLAGS = {"baseline": []}
if platform.machine().lower() in ("x86_64", "amd64"):
    ISA_FLAGS |= {"avx2": ["-march=x86-64-v3"], "avx512": ["-march=x86-64-v4", "-mprefer-vector-width=512"]}
CUDA_ARCHITECTURES = os.environ.get("WTAL_CUDA_ARCHITECTURES", "80 90 100").split()  # last one: PTX for later GPUs too
NVCC_FLAGS = "-std=c++20 -O3 -fmad=false -DUSE_CUDA --threads 0 -Xcompiler -fPIC,-fvisibility=hidden".split()


def wanted(variable):
    """True: asked for. False: asked not to. None: build it where possible."""
    meanings, value = {"0": False, "1": True, "auto": None}, os.environ.get(variable, "auto")
    return meanings[value] if value in meanings else sys.exit(f"{variable} must be 0, 1 or auto, got {value}")


def left_out(part, why, variable=None):
    """Says that `part` is not built; an error where the user asked for it."""
    if variable and wanted(variable):
        sys.exit(f"{variable}=1 asks for {part}, but {why}")
    print(f"wtal_fast: {part} left out: {why}", file=sys.stderr)
    return []


def torch_folder():
    """Folder of an installed torch new enough for the op kernels, else the reason in words. Torch is not imported."""
    spec = util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return None, "torch is not visible to this build; use: pip install --no-build-isolation ."
    version = metadata.version("torch")
    new_enough = tuple(int(part) for part in version.split("+")[0].split(".")[:2]) >= OLDEST_TORCH
    return (Path(spec.submodule_search_locations[0]), "") if new_enough else (None, f"torch {version} is too old")


def cuda_folder():
    """Folder of a CUDA toolkit with compiler and headers, else the reason in words. CUDA_HOME, where set, decides."""
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    beside = [str(Path(nvcc).resolve().parents[1]) for nvcc in [shutil.which("nvcc")] if nvcc]
    folders = [named] if named else ["/usr/local/cuda", *beside, *sorted(glob("/usr/local/cuda-*"), reverse=True)]
    needed = ("bin/nvcc", "include/cuda_runtime.h")
    complete = [Path(folder) for folder in folders if all(Path(folder, part).is_file() for part in needed)]
    return (complete[0], "") if complete else (None, f"no nvcc with its headers in {', '.join(folders)}; set CUDA_HOME")


def op_library(name, sources, torch, variable, include_dirs=(), library_dirs=(), link=()):
    """A library that registers op kernels with the dispatcher through torch's stable ABI: no Python symbols in it."""
    keep = ["-Wl,--no-as-needed"] * (sys.platform == "linux")  # or the linker drops libtorch.so, which leads to CUDA's
    target = f"0x{OLDEST_TORCH[0]:02x}{OLDEST_TORCH[1]:02x}000000000000"
    return Extension(f"wtal_fast.{name}", sorted(sources), py_limited_api=True, optional=not wanted(variable),
                     define_macros=[("TORCH_TARGET_VERSION", target), ("TORCH_STABLE_ONLY", None)],
                     include_dirs=["csrc", str(torch / "include"), *include_dirs],
                     library_dirs=[str(torch / "lib"), *library_dirs],
                     extra_compile_args=[f"-ffile-prefix-map={torch / 'include'}/="],  # no local paths in messages
                     extra_link_args=[*keep, "-ltorch", "-ltorch_cpu", *link])


def numpy_part():
    if util.find_spec("pybind11") is None or wanted("WTAL_NATIVE") is False:
        return left_out("the NumPy module", "pybind11 is not installed or WTAL_NATIVE=0", "WTAL_NATIVE")
    import pybind11
    sources = glob("csrc/numpy/*.cpp")
    shared = [path for path in map("csrc/cpu/isa/{}".format, map(os.path.basename, sources)) if os.path.exists(path)]
    return [Extension("wtal_fast._numpy", sorted([*sources, "csrc/cpu/isa.cpp", *shared]), language="c++",
                      include_dirs=["csrc", pybind11.get_include()], optional=not wanted("WTAL_NATIVE"))]


def cpu_part(torch, why):
    if torch is None or wanted("WTAL_NATIVE") is False:
        return left_out("the CPU kernels", why or "WTAL_NATIVE=0", "WTAL_NATIVE")
    return [op_library("_C_cpu", glob("csrc/cpu/*.cpp") + glob("csrc/cpu/isa/*.cpp"), torch, "WTAL_NATIVE")]


def cuda_part(torch, why):
    cuda, no_cuda = cuda_folder()
    if torch is None or cuda is None or wanted("WTAL_CUDA") is False:
        return left_out("the CUDA kernels", why or no_cuda or "WTAL_CUDA=0", "WTAL_CUDA")
    if not wanted("WTAL_CUDA") and runpy.run_path(str(torch / "version.py"))["cuda"] is None:
        return left_out("the CUDA kernels", "this torch is a CPU build (WTAL_CUDA=1 builds them all the same)")
    return [op_library("_C_cuda", glob("csrc/cuda/*.cu"), torch, "WTAL_CUDA", include_dirs=[str(cuda / "include")],
                       library_dirs=[str(cuda / "lib64"), str(cuda / "lib")],
                       link=["-lcudart_static", "-ldl", "-lrt", "-lpthread"])]


class BuildParts(build_ext):
    """Compiles in parallel: .cu with nvcc, csrc/cpu/isa/ once per instruction set."""

    def build_extension(self, ext):
        jobs = [(source, isa) for source in ext.sources for isa in (ISA_FLAGS if "isa" in Path(source).parts else [""])]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            objects = list(pool.map(lambda job: self.compile_one(ext, *job), jobs))
        target = self.get_ext_fullpath(ext.name)
        self.compiler.link_shared_object(objects, target, library_dirs=ext.library_dirs, target_lang="c++",
                                         extra_postargs=ext.extra_link_args, build_temp=self.build_temp)

    def compile_one(self, ext, source, isa):
        if source.endswith(".cu"):
            return self.compile_cuda(ext, source)
        built = [f"-DWTAL_HAVE_{name.upper()}" for name in ISA_FLAGS]
        levels = [f"-DWTAL_ISA={isa}", *ISA_FLAGS[isa]] if isa else built
        return self.compiler.compile([source], os.path.join(self.build_temp, isa), ext.define_macros, ext.include_dirs,
                                     extra_postargs=CXX_FLAGS + levels + ext.extra_compile_args)[0]

    def compile_cuda(self, ext, source):
        target = Path(self.build_temp, source).with_suffix(".cu.o")
        target.parent.mkdir(parents=True, exist_ok=True)
        nvcc = cuda_folder()[0] / "bin/nvcc"
        known = subprocess.run([nvcc, "--list-gpu-code"], capture_output=True, text=True, check=True).stdout.split()
        chosen = [number for number in CUDA_ARCHITECTURES if f"sm_{number}" in known]
        codes = [f"-gencode=arch=compute_{number},code=sm_{number}" for number in chosen]
        codes += [f"-gencode=arch=compute_{number},code=compute_{number}" for number in chosen[-1:]]
        paths = [f"-I{folder}" for folder in ext.include_dirs] + ["-Xcompiler", *ext.extra_compile_args]
        macros = [f"-D{name}" if value is None else f"-D{name}={value}" for name, value in ext.define_macros]
        command = [nvcc, *NVCC_FLAGS, *codes, *macros, *paths, "-c", source, "-o", target]
        if not chosen or subprocess.run(command).returncode:
            raise CompileError(f"nvcc failed on {source} for {CUDA_ARCHITECTURES}; it knows {' '.join(known)}")
        return str(target)


if __name__ == "__main__":
    parts = numpy_part() + cpu_part(*torch_folder()) + cuda_part(*torch_folder())
    setup(ext_modules=parts, cmdclass={"build_ext": BuildParts})
