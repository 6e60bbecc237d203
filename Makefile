# Countersign: verbs. The build itself is meson + ninja; what a verb does is in tools/dev/.
# A line "## NAME  text" below is a line of `make help`.
.POSIX:
SHELL = /bin/sh
JOBS = 2
SECS = 60
DIR = ../shared/vectors
PREFIX = /usr/local
CONFIG = deploy/config/sign-service.yaml
EIF = target/sign-service.enclave.eif
BLOBS =
KERNEL =
ARGS =

## all            every program, optimised with debug information, in build/bin (default)
all: packages
	@tools/dev/build release
	@tools/dev/link-programs
	@tools/dev/build-kernel --cached >/dev/null 2>&1 || true

## eif            enclave image in EIF (default target/sign-service.enclave.eif) of CONFIG; KERNEL=bzImage, BLOBS=dir, ARGS="--set KEY=VALUE"
eif: all
	@CONFIG="$(CONFIG)" EIF="$(EIF)" BLOBS="$(BLOBS)" KERNEL="$(KERNEL)" tools/dev/eif $(ARGS)

## repro          build programs and image twice, in other paths, dates, umasks, ...: equal byte for byte, with the inputs of images/inputs.lock
repro: packages
	@CONFIG="$(CONFIG)" BLOBS="$(BLOBS)" KERNEL="$(KERNEL)" tools/dev/repro

## demo           the whole path on this machine: seal, start, inject, unseal under attestation, sign; then four attacks
demo: all
	@scripts/demo.sh

## up             start the stack and leave it running; writes build/run/endpoints.env
up: all
	@scripts/stack.sh up

## down           stop what `make up` started
down:
	@scripts/stack.sh down

## test           unit tests, 5 s of every fuzz target, vectors, interop, hostile peers and scenarios under ASan+UBSan (T=NAME: one unit test)
test: packages
	@tools/dev/test $(T)

## boot-test      the enclave's programs really booted: a guest of user-mode Linux with AF_VSOCK and /dev/nsm (part of make test)
boot-test: packages
	@tools/dev/test --only boot

## boot-test-qemu the image booted in QEMU's nitro-enclave machine with its own kernel (builds QEMU once: 10 minutes, cached)
boot-test-qemu: all
	@tools/dev/build-kernel
	@tools/dev/build-qemu
	@tests/boot/qemu/boot.sh

## lint           format, clang-tidy, cppcheck, shellcheck, layers, symbols, banned calls, fuzz targets, sizes
lint: packages
	@tools/dev/lint

## check          test, lint and the constant-time run
check: test lint ctime

## format         clang-format on every C file of the repository
format:
	@tools/dev/format

## vectors        external vectors: make vectors DIR=path
vectors: packages
	@tools/dev/build asan tests/vectors/cs-vectors
	@build/asan/tests/vectors/cs-vectors $(DIR)
	@[ ! -d $(DIR)/mpc-model ] || build/asan/tests/vectors/cs-vectors --portable $(DIR) mpc-model

## fuzz           one fuzz target: make fuzz F=age SECS=60
fuzz: packages
	@tools/dev/build asan
	@tools/dev/fuzz-run build/asan $(SECS) $(F)

## fuzz-all       every fuzz target for SECS seconds each
fuzz-all: packages
	@tools/dev/build asan
	@tools/dev/fuzz-run build/asan $(SECS)

## asan           unit tests under ASan+UBSan only
asan: packages
	@tools/dev/test --only unit

## arm64          the enclave's programs cross-compiled, and the tests of the pure parts under qemu-user (part of `make test`)
arm64: packages
	@tools/dev/arm64

## faults         out of memory and out of randomness half-way: in process, and whole programs with more points than `make test`; faults of the TEE service
faults: all
	@meson test -C build/release faults_mpc faults_core
	@CS_FAULT_SAMPLES=1000 tests/faults/memory.py
	@CS_FAULT_SAMPLES=0 tests/faults/service.py
	@CS_FAULT_SAMPLES=0 tests/faults/gateway.py
	@tests/faults/tee.py

## ctime          constant-time run of the secret operations under valgrind; any report fails
ctime: packages
	@tools/dev/ctime

## bench          every figure with its target: the protocol, a stack of its own, peers; build/bench/results.json and a table
bench: all
	@tools/dev/bench

## bench-compare  the last `make bench` against the one before
bench-compare:
	@tools/dev/bench --compare

## cover          line and branch coverage of the unit tests, per folder
cover: packages
	@tools/dev/cover

## nightly        long rounds: 60 s per fuzz target, ctime, faults, coverage, everything of `make test`, its scripts without sanitizer too
nightly: test lint ctime faults
	@tools/dev/test --only released
	@tools/dev/fuzz-run build/asan $(SECS)
	@tools/dev/cover
	@KERNEL=$(KERNEL) tools/dev/repro
	@tests/boot/qemu/boot.sh || [ $$? = 77 ]

## install        programs, man pages and completions below PREFIX (default /usr/local; DESTDIR is honoured)
install: all
	@tools/dev/install "$(DESTDIR)$(PREFIX)"

## packages       install missing Debian and npm packages (root or sudo only when a Debian package is missing)
packages:
	@scripts/install-packages.sh

## peers          install the peers of the interop tests into build/peers (make test does it too): tools/dev/peers.txt
peers:
	@tools/dev/peers all

## clean          remove build/
clean:
	rm -rf build

## help           this list
help:
	@sed -n 's/^## /  make /p' Makefile

# one line each: a verb of its own
.PHONY: all
.PHONY: demo
.PHONY: eif
.PHONY: repro
.PHONY: up
.PHONY: down
.PHONY: test
.PHONY: lint
.PHONY: check
.PHONY: format
.PHONY: vectors
.PHONY: fuzz
.PHONY: fuzz-all
.PHONY: asan
.PHONY: faults
.PHONY: ctime
.PHONY: bench
.PHONY: bench-compare
.PHONY: cover
.PHONY: nightly
.PHONY: install
.PHONY: packages
.PHONY: peers
.PHONY: boot-test
.PHONY: boot-test-qemu
.PHONY: clean
.PHONY: arm64
.PHONY: help
