# Sourced by the other scripts. Leaves the shell in the project's folder with $python: an interpreter with torch,
# wtal_fast and the tools of the dev extra.
#
# Uses the active virtual environment, else .venv (made here). Installs torch only where none or an old one is there.
# The install is editable: Python edits count at once, and the libraries lie in wtal_fast/, where tests run from the
# project's folder import them. It is repeated only when something it was made of has changed.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
torch_pin=2.13.0

stop() {
    echo "error: $*" >&2
    exit 1
}

quietly() { # a step's output is shown only where the step fails
    mkdir -p build
    echo "setup: $*" >&2
    "$@" >build/setup.log 2>&1 </dev/null || {
        tail -n 60 build/setup.log >&2
        stop "this step failed: $* (its whole output: build/setup.log)"
    }
}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null
}

make_environment() {
    local candidate base=
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
        if new_enough "$candidate"; then
            base=$candidate
            break
        fi
    done
    [ -n "$base" ] || stop "Python 3.10 or later is needed, ${PYTHON:-python3} is: $("${PYTHON:-python3}" -V 2>&1 || true)." \
        "Name a newer one: PYTHON=/path/to/python3 $0"
    "$base" -c 'import venv, ensurepip' 2>/dev/null ||
        stop "$base cannot make virtual environments. Install its venv module (Debian, Ubuntu: apt-get install python3-venv)" \
            "or activate an environment, then run $0 again"
    quietly "$base" -m venv --clear .venv
}

# Exit code 0 where the package needs no other torch. Torch is not imported: that takes seconds.
has_torch() {
    "$python" - <<'END'
import sys
from importlib import metadata, util
version = metadata.version("torch") if util.find_spec("torch") else "0.0"
sys.exit(tuple(map(int, version.split("+")[0].split(".")[:2])) < (2, 11))
END
}

# What an install is made of: sources, metadata, interpreter, torch, tools and wishes; and the libraries it left.
fingerprint() {
    "$python" - <<'END'
import hashlib, os, shutil, sys
from importlib import metadata
from pathlib import Path
names = ("WTAL_NATIVE", "WTAL_CUDA", "WTAL_CUDA_ARCHITECTURES", "CUDA_HOME", "CC", "CXX")
wishes = [os.environ.get(name) for name in names]
built = sorted(path.name for path in Path("wtal_fast").glob("_*.so"))
facts = [os.getcwd(), sys.prefix, sys.version, metadata.version("torch"), shutil.which("c++"), wishes, built]
digest = hashlib.sha256(repr(facts).encode())
for path in [Path("setup.py"), Path("pyproject.toml"), *sorted(path for path in Path("csrc").rglob("*") if path.is_file())]:
    digest.update(f"\0{path}\0".encode() + path.read_bytes())
print(digest.hexdigest())
END
}

if [ -n "${VIRTUAL_ENV:-}" ]; then
    python=$VIRTUAL_ENV/bin/python
    new_enough "$python" || stop "the active environment $VIRTUAL_ENV has no Python 3.10 or later; deactivate it or make a newer one"
else
    .venv/bin/python -m pip --version >/dev/null 2>&1 || make_environment
    python=$PWD/.venv/bin/python
fi
has_torch || quietly "$python" -m pip install "torch==$torch_pin"
if [ "$(cat build/installed 2>/dev/null)" != "$(fingerprint)" ]; then
    quietly "$python" -m pip install "setuptools>=77,<82" wheel "pybind11>=2.12"
    quietly "$python" -m pip install --no-build-isolation -e ".[dev]"
    fingerprint >build/installed
fi
