#!/usr/bin/env bash
# The main job, end to end: MovieLens-100k becomes requests, a configuration becomes weights, and
# both become TensorRT engines. `make engine` builds the program and the data that this needs.
#
#   MODEL=models/ml-100k.toml OUT=build/ml-100k scripts/engine.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly model=${MODEL:-models/ml-100k.toml}
readonly out=${OUT:-build/ml-100k}
readonly interactions=.onr/data/ml-100k/ml-100k.inter
readonly program=${CARGO_TARGET_DIR:-target}/release/onr

# Shows a command as the reader could type it, then runs it.
onr() {
    printf '\n$ onr'
    local word
    for word in "$@"; do
        if [[ $word =~ ^[A-Za-z0-9_./:=-]+$ ]]; then printf ' %s' "$word"; else printf ' %s' "${word@Q}"; fi
    done
    printf '\n'
    "$program" "$@"
}

mkdir -p "$out"
onr init --model "$model" --seed 0 --out "$out/weights.safetensors"
# Action types out of ratings: 3 for five stars, 2 for four, 1 for the rest.
onr requests --interactions "$interactions" --model "$model" \
    --actions 'rating>=5:3,rating>=4:2,*:1' --limit 256 --out "$out/requests.jsonl"
onr build-engine --model "$model" --weights "$out/weights.safetensors" \
    --requests "$out/requests.jsonl" --out "$out/engine"
printf '\nengines: %s\n' "$out/engine"
