#!/usr/bin/env bash
# Prepares a machine that has Rust for `make engine` and `make test`.
#
#   1. Debian packages that are really missing: a C++ toolchain, libclang, Python.
#   2. .onr/venv   the wheels of scripts/requirements.txt, in a Python environment of their own
#   3. .onr/lib    links to the shared libraries in it, under names without a Python version
#   4. .onr/data   MovieLens-100k
#   5. .onr/triton a tritonserver with the Python backend, and Triton's own Python client, for tests
#
# Each step asks first whether its result is there and whole, so a rerun after an interruption
# repairs, and a rerun after success takes a fraction of a second. Nothing outside .onr changes,
# but for the Debian packages. The ordinary configuration of apt and pip applies.
#
# With OFFLINE=DIR all of it comes out of a bundle (scripts/bundle.sh), and no network is used.
set -euo pipefail
OFFLINE=${OFFLINE:+$(realpath -m "$OFFLINE")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly requirements=scripts/requirements.txt
readonly data_package=scripts/data.txt
readonly venv=.onr/venv
readonly stamp=.onr/venv/complete
readonly lib=.onr/lib
readonly data=.onr/data/ml-100k
readonly scratch=.onr/tmp
readonly libclang_below=22
readonly triton_package=scripts/triton.txt
readonly triton_client=scripts/requirements-triton-client.txt
readonly triton_numpy=scripts/requirements-triton-python.txt
readonly triton=.onr/triton
readonly triton_glibc=2.35
# To be raised when the step below puts the same files into other places.
readonly triton_layout=1
# Relative to site-packages; the links in .onr/lib carry the sonames.
readonly libraries=(
    onnxruntime/capi/libonnxruntime.so.1.31.1:libonnxruntime.so.1
    tensorrt_rtx_libs/libtensorrt_rtx.so.1:libtensorrt_rtx.so.1
    tensorrt_rtx_libs/libtensorrt_onnxparser_rtx.so.1:libtensorrt_onnxparser_rtx.so.1
)
readonly checksums='4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff  ml-100k.inter
51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532  ml-100k.item
4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972  ml-100k.user'

say() { printf 'setup: %s\n' "$*"; }
die() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# shellcheck source=scripts/offline.sh
source scripts/offline.sh

# --- 1. Debian packages -------------------------------------------------------------------------

# The versions of libclang that have development files here, one a line.
libclang_versions() {
    dpkg-query -W -f '${db:Status-Status} ${Package}\n' 'libclang-*-dev' 2>/dev/null |
        sed -n 's/^installed libclang-\([0-9]*\)-dev$/\1/p' || true
}

# A Python that the wheels are made for, and that can make environments.
python_fits() {
    local version
    version=$("$1" -c 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) &&
        [[ $version =~ ^3\.1[1-4]$ ]] && bundle_serves "$version"
}
find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        if have "$candidate" && python_fits "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    return 1
}

# The Pythons that will do, in words.
pythons() { if offline; then paste -sd ' ' "$bundle/pythons" | sed 's/ / or /g'; else printf '3.11 to 3.14\n'; fi; }

missing_packages() {
    have cc && have c++ || printf 'build-essential\n'
    if [[ -z ${LIBCLANG_PATH:-} && -z $(libclang_versions) ]]; then
        printf 'libclang-dev\n'
    fi
    if ! offline && ! venv_complete && ! find_python >/dev/null; then
        printf 'python3\npython3-venv\n'
    fi
}

apt_install() {
    local as_root=()
    ! offline || die "missing, and not part of a bundle: $*. Install these first"
    if ((EUID != 0)); then
        have sudo || {
            say "please install as root: apt-get install $*"
            return
        }
        as_root=(sudo)
    fi
    say "installing Debian packages: $*"
    "${as_root[@]}" apt-get update -qq || say "apt-get update reported errors; going on"
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null
    say "installed Debian packages: $*"
}

debian_packages() {
    if ! have dpkg-query || ! have apt-get; then
        { have cc && have c++; } || say "no apt here: please install a C and a C++ compiler"
        say "no apt here: libclang below $libclang_below with headers is taken to be installed"
        return
    fi
    local -a missing
    mapfile -t missing < <(missing_packages)
    ((${#missing[@]} == 0)) || apt_install "${missing[@]}"

    local oldest
    oldest=$(libclang_versions | sort -n | head -n 1)
    if [[ -z ${LIBCLANG_PATH:-} && ${oldest:-0} -ge $libclang_below ]]; then
        say "libclang $oldest is too new for trtx: install libclang-21-dev, set LIBCLANG_PATH"
    fi
}

# --- 2. and 3. wheels and libraries -------------------------------------------------------------

# What .onr/venv must have been made from: this list, this Python.
venv_key() { printf '%s %s\n' "$(sha256sum <"$requirements")" "$("$venv/bin/python" -V)"; }

# Where the wheels lie. Empty before they are installed.
site_packages() { compgen -G "$venv/lib/python3*/site-packages" || true; }

venv_complete() {
    [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$(venv_key)" ]] || return 1
    local site entry
    site=$(site_packages)
    for entry in "${libraries[@]}"; do
        [[ -f $site/${entry%%:*} ]] || return 1
    done
}

pinned() { sed -n 's/^\([A-Za-z0-9_-]*\)==\([^ ]*\).*/\1 \2/p' "$1" | paste -sd , | sed 's/,/, /g'; }

pip() {
    local -a source
    mapfile -t source < <(pip_source)
    "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$1" "${source[@]}" "${@:2}"
}

python_environment() {
    if venv_complete; then return; fi
    [[ $(uname -sm) == "Linux x86_64" ]] ||
        die "the pinned wheels are for Linux on x86-64, this is $(uname -sm)"
    local python
    python=$(find_python) ||
        die "no Python $(pythons) with the venv module found; install one or name it in PYTHON"
    say "$("$python" -V) makes $venv; fetching about 150 MB of wheels"
    say "TensorRT for RTX among them comes under NVIDIA's licence (see its LICENSE.txt)"
    rm -f "$stamp"
    "$python" -m venv --clear "$venv"
    pip install --require-hashes --only-binary :all: --no-deps -r "$requirements"
    "$venv/bin/python" -c 'import numpy, onnx.checker, onnxruntime, safetensors'
    load_libraries
    venv_key >"$stamp.new"
    mv "$stamp.new" "$stamp"
    say "installed in $venv: $(pinned "$requirements")"
}

# Can this machine load the shared libraries? Asked once, before the environment counts as whole.
load_libraries() {
    local entry
    for entry in "${libraries[@]}"; do
        "$venv/bin/python" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' \
            "$(site_packages)/${entry%%:*}"
    done
}

library_links() {
    local site entry target name
    site=$(site_packages)
    mkdir -p "$lib"
    for entry in "${libraries[@]}"; do
        target=$site/${entry%%:*} name=${entry##*:}
        [[ $lib/$name -ef $target ]] || ln -sfn "../${target#.onr/}" "$lib/$name"
    done
}

# --- 4. data ------------------------------------------------------------------------------------

# Are the files in directory $1 the ones that we know?
data_complete() {
    [[ -d $1 ]] && (cd "$1" && sha256sum --check --status --strict <<<"$checksums" 2>/dev/null)
}

movielens() {
    if data_complete "$data"; then return; fi
    say "fetching MovieLens-100k (2 MB, for research use) out of the wheel $(pinned "$data_package")"
    rm -rf "$scratch"
    mkdir -p "$scratch"
    pip download --require-hashes --only-binary :all: --no-deps -d "$scratch" -r "$data_package"
    "$venv/bin/python" - "$scratch" <<'PY'
import pathlib, sys, zipfile

scratch = pathlib.Path(sys.argv[1])
(wheel,) = scratch.glob("*.whl")
(scratch / "ml-100k").mkdir()
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith("recbole/dataset_example/ml-100k/"):
            (scratch / "ml-100k" / pathlib.Path(name).name).write_bytes(archive.read(name))
PY
    data_complete "$scratch/ml-100k" || die "the wheel's MovieLens-100k is not the one we know"
    rm -rf "$data"
    mkdir -p "$(dirname "$data")"
    mv "$scratch/ml-100k" "$data"
    rm -rf "$scratch"
    say "MovieLens-100k is in $data"
}

# --- 5. Triton ----------------------------------------------------------------------------------

# What .onr/triton must have been made from: these lists, this layout, this Python.
triton_key() {
    printf '%s layout %s %s\n' \
        "$(cat "$triton_package" "$triton_client" "$triton_numpy" | sha256sum)" \
        "$triton_layout" "$("$venv/bin/python" -V)"
}
triton_complete() {
    [[ -f $triton/complete && -x $triton/bin/tritonserver ]] &&
        [[ $(<"$triton/complete") == "$(triton_key)" ]]
}

# Why this machine can't have the server, if so. The tests that need one then fail and say the same.
triton_refused() {
    local glibc
    glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //')
    if [[ $(printf '%s\n' "$triton_glibc" "${glibc:-0}" | sort -V | head -n 1) != "$triton_glibc" ]]; then
        printf 'it needs glibc %s, this is %s\n' "$triton_glibc" "${glibc:-another C library}"
    fi
    case $1 in
    3.11 | 3.12) ;;
    3.13) printf 'its Python backend needs numpy 1, which Python 3.13 of .onr/venv has not\n' ;;
    *) printf 'its wheel has a Python backend for Python up to 3.13, .onr/venv has %s\n' "$1" ;;
    esac
}

# Takes the server, its libraries and the Python backend for Python $2 out of the wheel in $1. The
# folders keep their places: the libraries are found relative to the binaries.
unpack_triton() {
    "$venv/bin/python" - "$1" "$2" <<'PY'
import pathlib, sys, zipfile

scratch, version = pathlib.Path(sys.argv[1]), sys.argv[2]
(wheel,) = scratch.glob("*.whl")
server, stub = "pytriton/tritonserver/", "triton_python_backend_stub"
moved = {f"{server}python_backend_stubs/{version}/{stub}": f"{server}backends/python/{stub}"}
wanted = (f"{server}bin/", f"{server}backends/", "nvidia_pytriton.libs/")
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        # A Python of its own, 32 MB, which only the backend for Python 3.13 is linked with.
        spare = "/libpython" in name
        licence = ".dist-info/licenses/" in name
        if name.endswith("/") or spare or not (name in moved or licence or name.startswith(wanted)):
            continue
        target = scratch / "new" / moved.get(name, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(archive.read(name))
        target.chmod(0o755 if target.name in ("tritonserver", stub) else 0o644)
if not (scratch / "new" / server / "backends/python" / stub).exists():
    sys.exit(f"the wheel has no Python backend for Python {version}")
PY
}

# The Python of Python models: .onr/venv, but for its numpy. An environment, because the interpreter
# inside the backend does not look at PYTHONPATH.
triton_python() {
    local site=$1/python/lib/python$2/site-packages
    "$venv/bin/python" -m venv --without-pip "$1/python"
    pip install --require-hashes --only-binary :all: --no-deps --target "$site" -r "$triton_numpy"
    printf '../../../../../venv/lib/python%s/site-packages\n' "$2" >"$site/venv.pth"
}

# bin/tritonserver: the server with its backends and that Python. The interpreter inside the backend
# takes the first `python3` on the PATH for itself; its shared library may lie where the loader does
# not look.
triton_launcher() {
    mkdir -p "$1/bin"
    "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))' >"$1/libpython"
    cat >"$1/bin/tritonserver" <<'SH'
#!/bin/sh
# Made by scripts/setup.sh.
root=$(dirname "$(dirname "$(readlink -f "$0")")")
PATH=$root/python/bin:$PATH
LD_LIBRARY_PATH=$(cat "$root/libpython")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export PATH LD_LIBRARY_PATH
unset PYTHONHOME PYTHONPATH
exec "$root/pytriton/tritonserver/bin/tritonserver" \
    --backend-directory="$root/pytriton/tritonserver/backends" "$@"
SH
    chmod +x "$1/bin/tritonserver"
}

# Libraries that the server or its Python backend in $1 would not find.
triton_missing() {
    local server=$1/pytriton/tritonserver file
    for file in bin/tritonserver backends/python/libtriton_python.so \
        backends/python/triton_python_backend_stub; do
        LD_LIBRARY_PATH=$(<"$1/libpython") ldd "$server/$file" | sed -n 's/^\s*\(\S*\) => not found/\1/p'
    done | sort -u
}

triton_server() {
    if triton_complete; then return; fi
    local version refused missing
    version=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    refused=$(triton_refused "$version")
    if [[ -n $refused ]]; then
        say "no Triton server on this machine: $refused. Tests that start one will fail"
        return
    fi
    if offline && ! grep -q "  $triton_package\$" "$bundle/inputs.sha256"; then
        say "no Triton server: $bundle was made without TRITON=1. Tests that start one will fail"
        return
    fi
    say "fetching a tritonserver (55 MB) out of the wheel $(pinned "$triton_package"), and its client"
    rm -rf "$scratch"
    mkdir -p "$scratch"
    pip download --require-hashes --only-binary :all: --no-deps -d "$scratch" -r "$triton_package"
    unpack_triton "$scratch" "$version"
    triton_launcher "$scratch/new"
    missing=$(triton_missing "$scratch/new")
    if [[ -n $missing ]]; then
        say "no Triton server on this machine: not found:" $missing
        say "a Python without a shared library is one cause; Debian has it as libpython$version"
        say "tests that start a Triton server will fail"
        rm -rf "$scratch"
        return
    fi
    pip install --require-hashes --only-binary :all: --no-deps --target "$scratch/new/client" -r "$triton_client"
    PYTHONPATH=$scratch/new/client "$venv/bin/python" -c 'import tritonclient.grpc, tritonclient.http'
    triton_python "$scratch/new" "$version"
    rm -rf "$triton"
    mv "$scratch/new" "$triton"
    rm -rf "$scratch"
    "$triton/python/bin/python3" -c 'import numpy, onnxruntime; assert numpy.__version__ < "2"' ||
        die "the Python of Triton's Python models does not find its packages"
    triton_key >"$triton/complete"
    say "tritonserver is in $triton/bin, its client in $triton/client"
}

# ------------------------------------------------------------------------------------------------

mkdir -p .onr
if have flock; then # two `make`s at once: the second waits, then finds everything done
    exec 9>.onr/lock
    flock 9
fi
have cargo || say "Rust is missing: cargo is not on the PATH"
offline_bundle
debian_packages
python_environment
library_links
movielens
triton_server
say "ready"
