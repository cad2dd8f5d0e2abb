# Thin front of meson. Each target installs what is missing (Debian, through tools/deps) and is quiet
# when nothing is.
BUILD ?= build
PYTHON ?= /usr/bin/python3
DESTDIR ?=
# Tests wait more than they work.
E2E_WORKERS ?= 3

.PHONY: all demo test test-unit test-e2e lint bench fuzz install deb clean format pages

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

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

test: test-unit test-e2e

# Unit tests and the fuzz corpora under ASan and UBSan, the threads under TSan.
test-unit: build-asan/build.ninja build-tsan/build.ninja
	@ninja -C build-asan --quiet
	@meson test -C build-asan --no-rebuild --print-errorlogs --quiet
	@ninja -C build-tsan --quiet
	@meson test -C build-tsan --no-rebuild --print-errorlogs --quiet --suite threads

# The real binary, real sockets, and clients and servers that others wrote.
test-e2e: all
	@tools/deps test
	@POSTERN_BUILD=$(abspath $(BUILD)) $(PYTHON) -m pytest -q -n $(E2E_WORKERS) tests/e2e

lint: all
	@tools/deps lint
	@tools/lint $(BUILD)

bench: all
	@tools/deps bench
	@$(PYTHON) bench/run.py --build $(BUILD)

fuzz:
	@tools/deps fuzz
	@tools/fuzz $(or $(SECONDS_EACH),300)

install: all
	@conf="$(DESTDIR)/etc/postern/postern.yaml"; \
	if [ -f "$$conf" ]; then cp -p "$$conf" "$$conf.kept"; fi; \
	DESTDIR=$(DESTDIR) meson install -C $(BUILD) --no-rebuild --quiet; status=$$?; \
	if [ -f "$$conf.kept" ]; then mv "$$conf.kept" "$$conf"; fi; exit $$status

deb:
	@tools/deps deb
	@dpkg-buildpackage --no-sign --build=binary
	@mkdir -p out && mv ../postern*_*.deb ../postern_*.buildinfo ../postern_*.changes out/
	@ls out/*.deb

# docs/errors, from the catalogue of causes and replies.
pages:
	@tools/catalogue src/provider/causes.txt src/provider/replies.txt --pages docs/errors

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

clean:
	@rm -rf build build-asan build-tsan build-fuzz out
