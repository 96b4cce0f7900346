# `make` alone prints what there is. Everything builds with one profile and one set of features, so
# that `make engine` and `make test` share each object file.
SHELL := bash
.DEFAULT_GOAL := help
.PHONY: help setup engine test lint dist bundle bench bench-calibration bench-torch bench-triton check-calibration movielens ablation precision mutation gpu-check clean

# Extra arguments for cargo. `.ci/run` passes --locked.
CARGO_FLAGS ?=
# A folder that `make bundle` made, on machines without a network. Every target takes it.
OFFLINE ?=
ifneq ($(OFFLINE),)
override OFFLINE := $(abspath $(OFFLINE))
override CARGO_FLAGS += --offline --config $(abspath .onr/offline.toml)
endif
export CARGO_FLAGS OFFLINE
CARGO_BUILD_FLAGS := --release --workspace $(CARGO_FLAGS)
PYTHON := .onr/venv/bin/python
# nextest where it is installed, cargo's own runner elsewhere. Asked only when a test runs.
TEST_RUNNER = $(if $(shell cargo nextest --version 2>/dev/null),nextest run,test)

help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## install what is missing: compiler, libclang, Python wheels in .onr/venv, MovieLens-100k
	@scripts/setup.sh

engine: setup ## the main job: MovieLens-100k -> a trained model and requests -> TensorRT engines
	cargo build $(CARGO_BUILD_FLAGS)
	scripts/engine.sh

test: setup ## all tests: Rust, examples in the documentation, the Python reference. No GPU needed
	cargo $(TEST_RUNNER) $(CARGO_BUILD_FLAGS) --lib --bins --tests
	cargo test $(CARGO_BUILD_FLAGS) --doc
	$(PYTHON) -m unittest discover -s tests/reference
	$(PYTHON) -m unittest discover -s tests/shipping

lint: setup ## rustfmt and clippy, warnings are errors. Checks every dependency once: minutes
	cargo fmt --all --check
	cargo clippy $(CARGO_BUILD_FLAGS) --all-targets -- -D warnings
	cargo clippy --release $(CARGO_FLAGS) --no-default-features -- -D warnings

dist: setup ## build/dist: the program as a tarball with licences, SBOM and SHA-256. WITH_LIBS=1 adds ONNX Runtime
	cargo build $(CARGO_BUILD_FLAGS)
	scripts/dist.sh

bundle: setup ## build/bundle: what is fetched, for `make engine OFFLINE=DIR` in closed networks. TRITON=1 adds Triton
	scripts/bundle.sh

bench: engine ## benchmarks, each beside a peer: some minutes, 15 GB of disk, 10 GB of memory
	$(PYTHON) scripts/bench.py

bench-calibration: setup .onr/peers/complete ## quantization beside ONNX Runtime's own: ten minutes, 11 GB of memory
	cargo build $(CARGO_BUILD_FLAGS)
	PYTHONPATH=.onr/peers $(PYTHON) scripts/bench_calibration.py

bench-torch: engine .onr/torch/complete ## docs/pytorch.md: the demo beside PyTorch on this CPU, in turns. Fetches 3 GB; minutes
	target/release/onr export --model build/ml-100k/trained/model.toml --weights build/ml-100k/trained/weights.safetensors --out build/bench-torch
	PYTHONPATH=.onr/torch $(PYTHON) bench/side_by_side.py build/bench-torch --model build/ml-100k/trained/model.toml \
	    --weights build/ml-100k/trained/weights.safetensors --backend ort --batch 1,8,32 --page docs/pytorch.md

bench-triton: engine ## a minute of load on the demo in a local Triton: throughput, latency, failures, memory
	$(PYTHON) scripts/bench_triton.py

check-calibration: setup .onr/peers/complete ## ranges equal those of ONNX Runtime's calibrator, results run there
	cargo build $(CARGO_BUILD_FLAGS)
	PYTHONPATH=.onr/peers $(PYTHON) scripts/check_calibration.py

# Wheels that only benchmarks import, beside .onr/venv: what ONNX Runtime's own tools need, and PyTorch.
PIP_SOURCE = $(if $(OFFLINE),--isolated --no-index --find-links $(OFFLINE)/wheels)
.onr/peers/complete: scripts/requirements-peers.txt
.onr/torch/complete: bench/requirements.txt
.onr/peers/complete .onr/torch/complete:
	rm -rf $(@D)
	$(PYTHON) -m pip --disable-pip-version-check --quiet install $(PIP_SOURCE) --require-hashes --only-binary :all: --no-deps --target $(@D) -r $<
	touch $@

movielens: setup ## docs/movielens.md: trained models against their peers, six runs each. About half an hour
	cargo build $(CARGO_BUILD_FLAGS)
	$(PYTHON) scripts/study.py movielens

ablation: setup ## docs/ablation.md: what each part is for, on simulated logs. Below an hour
	cargo build $(CARGO_BUILD_FLAGS)
	$(PYTHON) scripts/study.py ablation

precision: setup ## docs/precision-ml100k.md: what FP16, BF16, INT8 and FP8 cost on a trained model. A quarter of an hour
	cargo build $(CARGO_BUILD_FLAGS)
	$(PYTHON) scripts/precision.py

mutation: setup ## docs/mutation.md: hundreds of faults planted in exported graphs, and what parity finds. Ten minutes
	cargo build $(CARGO_BUILD_FLAGS)
	target/release/onr-mutation --out docs/mutation.md

gpu-check: setup ## docs/gpu-results.md: parity, latencies and a refit on a GPU of this machine. Below ten minutes
	cargo build $(CARGO_BUILD_FLAGS)
	$(PYTHON) scripts/gpu_check.py pack
	$(PYTHON) scripts/gpu_check.py run

clean: ## remove what was built (target, build); what `make setup` fetched stays in .onr
	cargo clean
	rm -rf build
