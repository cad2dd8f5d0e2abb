# Thin front of meson. Each target installs what is missing (Debian, through tools/deps) and is quiet
# when nothing is.
BUILD ?= build
PYTHON ?= /usr/bin/python3
DESTDIR ?=
# Tests wait more than they work.
E2E_WORKERS ?= 4

.PHONY: all demo test test-unit test-e2e test-system lint bench fuzz install deb clean format pages sim

# What is used. Tests run in builds of their own, with sanitizers.
PRODUCT := src/cli/postern src/drop/postern-drop

# Quiet when nothing is to be done; else it counts on a terminal, and a log gets one line at both ends.
all: $(BUILD)/build.ninja
	@if ! ninja -C $(BUILD) -n $(PRODUCT) 2>/dev/null | grep -q 'no work to do'; then \
		if [ -t 1 ]; then NINJA_STATUS='building %f of %t (%p) ' ninja -C $(BUILD) $(PRODUCT); \
		else echo "building in $(BUILD) ..." && ninja -C $(BUILD) --quiet $(PRODUCT); fi && \
		echo "built: $(BUILD)/src/cli/postern"; \
	fi

$(BUILD)/build.ninja:
	@tools/deps build
	@meson setup $(BUILD) --buildtype=release --prefix=/usr --sysconfdir=/etc --localstatedir=/var >$(BUILD).setup.log 2>&1 || (cat $(BUILD).setup.log; exit 1)
	@mv $(BUILD).setup.log $(BUILD)/

build-asan/build.ninja:
	@tools/deps build
	@meson setup build-asan -Db_sanitize=address,undefined -Db_lundef=false >build-asan.setup.log 2>&1 || (cat build-asan.setup.log; exit 1)
	@mv build-asan.setup.log build-asan/

build-tsan/build.ninja:
	@tools/deps build
	@meson setup build-tsan -Db_sanitize=thread -Db_lundef=false >build-tsan.setup.log 2>&1 || (cat build-tsan.setup.log; exit 1)
	@mv build-tsan.setup.log build-tsan/

demo: all
	@$(BUILD)/src/cli/postern demo

test: test-unit test-e2e sim

# Unit tests and the fuzz corpora under ASan and UBSan, the threads under TSan.
test-unit: build-asan/build.ninja build-tsan/build.ninja
	@ninja -C build-asan --quiet
	@meson test -C build-asan --no-rebuild --print-errorlogs --quiet
	@ninja -C build-tsan --quiet build.ninja
	@ninja -C build-tsan --quiet $$(meson introspect build-tsan --tests | $(PYTHON) -c 'import json, os, sys; \
		print(*(os.path.relpath(t["cmd"][0], "build-tsan") for t in json.load(sys.stdin) if "postern:threads" in t["suite"]))')
	@meson test -C build-tsan --no-rebuild --print-errorlogs --quiet --suite threads

# The real binary, real sockets, and clients and servers that others wrote.
test-e2e: all
	@tools/deps test
	@ninja -C $(BUILD) --quiet src/cli/confine_probe
	@POSTERN_BUILD=$(abspath $(BUILD)) $(PYTHON) -m pytest -q -n $(E2E_WORKERS) tests/e2e

# The relay in a world of its own: no waiting, no network, and the same seed is the same run (tests/sim). SEED=n shows
# the log of one, ACTS=... with these of its acts only; FAULT=ttl puts a fault of the past back; RESUME=FILE goes on where the last one ended.
SEEDS ?= 2000
sim: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet tests/sim/sim
	@$(if $(SEED)$(FAULT),$(BUILD)/tests/sim/sim $(if $(FAULT),--fault $(FAULT)) $(if $(ACTS),--acts $(ACTS)) $(if $(SEED),--log $(SEED),$(SEEDS)),tests/sim/run $(BUILD)/tests/sim/sim $(SEEDS) $(RESUME))

lint: all
	@tools/deps lint
	@tools/lint $(BUILD)

bench: all
	@tools/deps bench
	@ninja -C $(BUILD) --quiet bench/bench_choice bench/bench_take
	@$(PYTHON) bench/run.py --build $(BUILD)

# Bytes by libFuzzer, then whole dialogues by dice against the daemon: clients, the maildrop, an evil server, the control
# socket. Seeds are printed with what fails.
fuzz: all
	@tools/deps fuzz
	@tools/fuzz $(or $(SECONDS_EACH),300)
	@GENERATE_ROUNDS=1000 GENERATE_SEED=$$(date +%s) POSTERN_SECONDS=$(or $(SECONDS_EACH),300) POSTERN_BUILD=$(abspath $(BUILD)) \
		$(PYTHON) -m pytest -q tests/e2e/test_generators.py tests/e2e/test_control.py

install: all
	@tools/install $(BUILD) "$(DESTDIR)"

deb:
	@tools/deps deb
	@echo "building the packages; the log is out/deb.log ..."
	@mkdir -p out && rm -f out/*.deb
	@dpkg-buildpackage --no-sign --build=binary >out/deb.log 2>&1 || { tail -40 out/deb.log; exit 1; }
	@mv ../postern*_*.deb ../postern_*.buildinfo ../postern_*.changes out/
	@ls out/*.deb

# docs/errors, from the catalogue of causes and replies.
pages:
	@tools/catalogue src/provider/causes.txt src/provider/replies.txt --pages docs/errors

# Packages and README on a Debian of its own, with systemd (tests/system/README.md). As root; minutes.
test-system: deb
	@tools/deps system
	@$(PYTHON) tests/system/run.py

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf build build-asan build-tsan build-fuzz out
