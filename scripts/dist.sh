#!/usr/bin/env bash
# build/dist/onr-VERSION-x86_64-linux.tar.gz: the program that `cargo build --release` left, with its
# documentation, licences, bill of materials and checksums, for machines that build nothing. `make dist` builds first.
#
#   WITH_LIBS=1 scripts/dist.sh      adds ONNX Runtime's library
#   GLIBC_MOST=2.31 scripts/dist.sh  refuses a program that needs a later glibc than this
#
# Equal input gives equal bytes: names are sorted, times are SOURCE_DATE_EPOCH (by default the time of
# the commit). What was packed is unpacked again and tried before the archive gets its name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly program=${CARGO_TARGET_DIR:-target}/release/onr
readonly python=.onr/venv/bin/python
readonly out=${OUT:-build/dist}
# Ubuntu 22.04, the oldest that is promised.
readonly most=GLIBC=${GLIBC_MOST:-2.35},GLIBCXX=3.4.30,CXXABI=1.3.13

say() { printf 'dist: %s\n' "$*"; }
die() {
    printf 'dist: %s\n' "$*" >&2
    exit 1
}

[[ -x $program ]] || die "$program is not there: run \`make dist\`, or cargo build --release --workspace"
[[ -x $python ]] || die "$python is not there: run \`make setup\`"
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || true)}
[[ $epoch =~ ^[0-9]+$ ]] || die "no commit to date the archive by: set SOURCE_DATE_EPOCH to seconds since 1970"
version=$("$program" --version | cut -d ' ' -f 2)
readonly epoch version name=onr-$version-x86_64-linux

mkdir -p "$out"
scratch=$(realpath "$(mktemp -d "$out/.tmp-XXXXXX")")
trap 'rm -rf "$scratch"' EXIT
readonly scratch tree=$scratch/$name
mkdir -p "$tree"/{bin,docs,licences/rust}

# --- the program and what may be asked of it ------------------------------------------------------

commit() {
    git rev-parse HEAD 2>/dev/null || { echo unknown && return; }
    git diff --quiet HEAD -- 2>/dev/null || echo '            with changes that are not in that commit'
}

strip -o "$tree/bin/onr" "$program"
shipped=("$tree/bin/onr")
bill=()
if [[ -n ${WITH_LIBS:-} ]]; then
    library=$(readlink -f .onr/lib/libonnxruntime.so.1)
    [[ -f $library ]] || die ".onr/lib/libonnxruntime.so.1 is not there: run \`make setup\`"
    package=${library%/capi/*}
    mkdir -p "$tree/lib" "$tree/licences/onnxruntime"
    cp "$library" "$tree/lib/libonnxruntime.so.1"
    cp "$package/LICENSE" "$package/ThirdPartyNotices.txt" "$tree/licences/onnxruntime/"
    shipped+=("$tree/lib/libonnxruntime.so.1")
    bill=(--onnxruntime "${library##*.so.}=$tree/lib/libonnxruntime.so.1")
fi
floor=$("$python" scripts/abi_floor.py --most "$most" "${shipped[@]}") ||
    die "it would not start on a machine that has no more than $most"
paths=$(strings "$tree/bin/onr" | grep -c "${CARGO_HOME:-$HOME/.cargo}/" || true)

# --- what comes with it ---------------------------------------------------------------------------

cp README.md CONTRIBUTING.md LICENSE-APACHE LICENSE-MIT "$tree"
cp docs/*.md "$tree/docs"
# shellcheck disable=SC2086  # several flags
"$python" scripts/inventory.py --sbom "$tree/sbom.cdx.json" --licences "$tree/licences/THIRD-PARTY.txt" \
    --program "$tree/bin/onr" --epoch "$epoch" "${bill[@]}" -- ${CARGO_FLAGS:-}
# The standard library is linked in as well; distributions put its licences elsewhere.
rust=$(rustc --print sysroot)/share/doc/rust
if compgen -G "$rust/COPYRIGHT*" >/dev/null; then
    cp -r "$rust"/COPYRIGHT* "$tree/licences/rust/"
    for texts in "$rust"/LICENSE* "$rust"/licenses; do [[ ! -e $texts ]] || cp -r "$texts" "$tree/licences/rust/"; done
else
    say "no licences of Rust's standard library in $rust: ours, of the same kinds, go along"
    cp LICENSE-APACHE LICENSE-MIT "$tree/licences/rust/"
fi

cat >"$tree/BUILD-INFO.txt" <<INFO
onr $version for Linux on x86-64

commit      $(commit)
dated       $(date -u -d "@$epoch" +%Y-%m-%dT%H:%M:%SZ)
compiler    $(rustc --version)

It needs, of the machine it runs on
$floor

Nothing is installed: unpack it anywhere and run bin/onr. docs/cli.md lists every verb, docs/shipping.md says more
about this archive. \`sha256sum --check SHA256SUMS\` finds what was damaged; sbom.cdx.json is the bill of materials;
licences/ has the licences of what is linked in.

ONNX Runtime and TensorRT are loaded at run time, by the verbs that need them; \`bin/onr doctor\` shows what was found.
  ONR_ONNXRUNTIME   libonnxruntime.so (1.24 or later), or its directory; else lib/ beside bin/ is looked into
  ONR_TENSORRT_DIR  directory of TensorRT for RTX; NVIDIA's licence, never part of this archive

The symbol table was stripped. Messages of a crash name source files of the machine that compiled it, $paths of them.
INFO

# --- the archive ----------------------------------------------------------------------------------

find "$tree" -type d -exec chmod 755 {} +
find "$tree" -type f -exec chmod 644 {} +
chmod 755 "$tree/bin/onr"
(cd "$tree" && find . -type f ! -name SHA256SUMS -printf '%P\0' | LC_ALL=C sort -z | xargs -0 sha256sum) >"$scratch/sums"
chmod 644 "$scratch/sums"
mv "$scratch/sums" "$tree/SHA256SUMS"
LC_ALL=C tar --create --format=gnu --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner \
    --directory "$scratch" "$name" | gzip -9 -n >"$scratch/$name.tar.gz"

# What people get, in an environment that knows nothing of this machine.
mkdir "$scratch/try"
tar -xzf "$scratch/$name.tar.gz" -C "$scratch/try"
(
    cd "$scratch/try/$name"
    sha256sum --check --quiet --strict SHA256SUMS
    clean() { env -i HOME=/nonexistent PATH=/usr/bin:/bin "$@"; }
    [[ $(clean bin/onr --version) == "onr $version" ]] || die "the packed program is not onr $version"
    sed -n '/^```toml$/,/^```$/{/^```/d;p}' docs/model.md >../model.toml
    cd ..
    clean "$name/bin/onr" init --model model.toml --out weights.safetensors >/dev/null
    clean "$name/bin/onr" export --model model.toml --weights weights.safetensors --out graphs >/dev/null
    clean "$name/bin/onr" verify graphs >/dev/null
)

rm -f "$out/$name.tar.gz.sha256"
mv "$scratch/$name.tar.gz" "$out/"
(cd "$out" && sha256sum "$name.tar.gz") >"$scratch/sha256"
mv "$scratch/sha256" "$out/$name.tar.gz.sha256"
say "$out/$name.tar.gz ($(du -h "$out/$name.tar.gz" | cut -f 1))"
printf '%s\n' "$floor"
