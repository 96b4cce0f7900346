#!/usr/bin/env bash
# Collects what `make engine` and `make test` fetch, for machines without a network: build/bundle, or BUNDLE=DIR.
#
#   make bundle                          for the Python of .onr/venv
#   make bundle PYTHONS='3.11 3.12'      for these
#   make bundle TRITON=1                 with the tritonserver of the tests (60 MB)
#
# Wheels come by the same pinned lists that scripts/setup.sh installs, crates by Cargo.lock. A bundle appears whole
# or not at all. scripts/offline.sh reads it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly bundle=${BUNDLE:-build/bundle}
readonly venv=.onr/venv/bin/python
# Lists that a bundle answers, and must be the same where it is used.
inputs=(Cargo.lock scripts/requirements.txt scripts/requirements-peers.txt scripts/data.txt)
readonly triton_inputs=(scripts/triton.txt scripts/requirements-triton-client.txt scripts/requirements-triton-python.txt)

say() { printf 'bundle: %s\n' "$*"; }
die() {
    printf 'bundle: %s\n' "$*" >&2
    exit 1
}

[[ -z ${OFFLINE:-} ]] || die "a bundle is made on a machine with a network: leave OFFLINE out"
[[ -x $venv ]] || die "$venv is not there: run \`make setup\`"
# An older bundle is replaced; a folder of something else is not.
if [[ -e $bundle && ! -f $bundle/inputs.sha256 ]] && [[ ! -d $bundle || -n $(ls -A "$bundle") ]]; then
    die "$bundle is there and is no bundle: name another with BUNDLE=DIR"
fi
pythons=${PYTHONS:-$("$venv" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
for python in $pythons; do
    [[ $python =~ ^3\.1[1-4]$ ]] || die "Python $python is none of 3.11 to 3.14, which the wheels are pinned for"
done
[[ -z ${TRITON:-} ]] || inputs+=("${triton_inputs[@]}")

mkdir -p "$(dirname "$bundle")"
scratch=$(mktemp -d "$bundle.tmp-XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/new" "$scratch/new/wheels"

say "crates of Cargo.lock"
# shellcheck disable=SC2086  # several flags
cargo vendor --locked --versioned-dirs "$scratch/crates" ${CARGO_FLAGS:-} >/dev/null 2>"$scratch/vendor.log" ||
    die "cargo vendor failed: $(tail -n 5 "$scratch/vendor.log")"
LC_ALL=C tar --create --format=gnu --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
    --directory "$scratch" crates | gzip -n >"$scratch/new/crates.tar.gz"

for python in $pythons; do
    say "wheels for Python $python"
    for list in "${inputs[@]}"; do
        [[ $list == *.txt ]] || continue
        # Triton's Python backend ends at 3.12: setup.sh says so there, and goes on.
        if [[ " ${triton_inputs[*]} " == *" $list "* && ! $python =~ ^3\.1[12]$ ]]; then continue; fi
        "$venv" -m pip --disable-pip-version-check --quiet download --require-hashes --only-binary :all: --no-deps \
            --python-version "$python" --dest "$scratch/new/wheels" -r "$list"
    done
done

triton='not included: tests that start one will fail'
[[ -z ${TRITON:-} ]] || triton='included, for Python 3.11 and 3.12 and glibc 2.35 or later'
sha256sum "${inputs[@]}" >"$scratch/new/inputs.sha256"
printf '%s\n' $pythons >"$scratch/new/pythons"
cat >"$scratch/new/README.txt" <<README
What onr fetches, of $(git log -1 --format='commit %h' 2>/dev/null || echo 'a tree without commits'), for machines without a network.

    make engine OFFLINE=THIS_FOLDER      (or make setup, make test)

in a checkout with the same Cargo.lock and lists; others are refused by name. SHA256SUMS is checked first.
To be installed beforehand, as none of it is here:
  Rust with rustfmt and clippy (1.92 or later; this bundle was made with $(rustc --version | cut -d ' ' -f 2)), by rustup or otherwise
  Python $(paste -sd ' ' "$scratch/new/pythons" | sed 's/ / or /g') with the module venv
  a C and a C++ compiler, make, libclang below 22 with headers (Debian, Ubuntu: build-essential, libclang-dev)
  Linux on x86-64 with glibc 2.28 or later
The wheels have TensorRT for RTX under NVIDIA's licence and MovieLens-100k for research use: not ours to pass on further.
A tritonserver for tests is $triton.
README
(cd "$scratch/new" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum >"../sums")
mv "$scratch/sums" "$scratch/new/SHA256SUMS"

rm -rf "$bundle"
mv "$scratch/new" "$bundle"
chmod 755 "$bundle"
say "$bundle ($(du -sh "$bundle" | cut -f 1)), for Python $(paste -sd ' ' "$bundle/pythons")"
