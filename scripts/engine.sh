#!/usr/bin/env bash
# The main job, end to end: MovieLens-100k trains a model and becomes requests, and both become
# TensorRT engines. `make engine` builds the program and the data that this needs. The training is
# short, for a demonstration: models/ml-100k.train.toml says 2,000 steps.
#
#   MODEL=models/ml-100k.toml OUT=build/ml-100k STEPS=300 scripts/engine.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly model=${MODEL:-models/ml-100k.toml}
readonly train=${TRAIN:-models/ml-100k.train.toml}
readonly out=${OUT:-build/ml-100k}
readonly steps=${STEPS:-300}
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
onr train --model "$model" --train "$train" --interactions "$interactions" --steps "$steps" \
    --out "$out/trained"
# Action types out of ratings: 3 for five stars, 2 for four, 1 for the rest.
onr requests --interactions "$interactions" --model "$model" \
    --vocab "$out/trained/vocab.json" --actions 'rating>=5:3,rating>=4:2,*:1' --limit 256 \
    --out "$out/requests.jsonl"
onr build-engine --model "$model" --weights "$out/trained/weights.safetensors" \
    --requests "$out/requests.jsonl" --out "$out/engine"
printf '\nengines: %s\n' "$out/engine"
