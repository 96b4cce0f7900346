#!/usr/bin/env bash
# What scripts/setup.sh takes from a bundle (OFFLINE=DIR, see scripts/bundle.sh) in place of the network.
#
# Sourced, with `say`, `die` and `scratch` of setup.sh. Without OFFLINE it does nothing.

readonly bundle=${OFFLINE:-}
readonly crates=.onr/crates
# Cargo reads it by --config, which `make OFFLINE=DIR` passes: nothing of the user's own is changed.
readonly crates_config=.onr/offline.toml

offline() { [[ -n $bundle ]]; }

# Options of pip: the bundle alone, whatever is configured on this machine.
pip_source() { ! offline || printf '%s\n' --isolated --no-index --find-links "$bundle/wheels"; }

# Does the bundle have wheels for the Python of version $1? Without a bundle, the network has.
bundle_serves() { ! offline || grep -qx "$1" "$bundle/pythons"; }

# Was the bundle made from our lists? The wheels and crates of others would not be those that we pin.
bundle_fits() {
    local others
    [[ -d $bundle ]] || die "$bundle, which OFFLINE names, is not there"
    [[ -f $bundle/SHA256SUMS && -f $bundle/inputs.sha256 && -f $bundle/pythons ]] ||
        die "$bundle is no bundle: \`make bundle\` makes one, on a machine with a network"
    others=$(LC_ALL=C sha256sum --check "$bundle/inputs.sha256" 2>/dev/null | sed -n 's/: FAILED.*//p' | paste -sd ' ') || true
    [[ -z $others ]] ||
        die "$bundle was made from another $others than lies here: make it anew from this commit"
}

# Is every file of the bundle as it was made? Asked once a bundle.
bundle_whole() {
    local wrong unlisted
    wrong=$(cd "$bundle" && LC_ALL=C sha256sum --check --strict --quiet SHA256SUMS 2>&1) ||
        die "$bundle is damaged, copy it again: $(sed -n '1,3p' <<<"$wrong" | paste -sd ' ')"
    unlisted=$(cd "$bundle" && LC_ALL=C comm -13 <(sed 's/^[0-9a-f]*  //' SHA256SUMS | LC_ALL=C sort) \
        <(find . -type f ! -name SHA256SUMS -printf '%P\n' | LC_ALL=C sort) | paste -sd ' ')
    [[ -z $unlisted ]] || die "$bundle has files that its SHA256SUMS does not list: $unlisted"
}

crates_key() { sha256sum <"$bundle/SHA256SUMS"; }

# The bundle, checked, and its crates where cargo finds them.
offline_bundle() {
    offline || return 0
    bundle_fits
    if [[ ! -f $crates/complete || $(<"$crates/complete") != "$(crates_key)" ]]; then
        say "checking $bundle and unpacking its crates"
        bundle_whole
        rm -rf "$scratch" "$crates"
        mkdir -p "$scratch"
        tar -xzf "$bundle/crates.tar.gz" -C "$scratch"
        crates_key >"$scratch/crates/complete"
        mv "$scratch/crates" "$crates"
        rm -rf "$scratch"
    fi
    cat >"$crates_config.new" <<TOML
# Made by scripts/setup.sh out of $bundle.
[source.crates-io]
replace-with = "bundle"

[source.bundle]
directory = "$PWD/$crates"

[net]
offline = true
TOML
    mv "$crates_config.new" "$crates_config"
}
