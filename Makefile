# SPDX-License-Identifier: Apache-2.0
# teepod: make | make demo | make test | make torture | make test-tdx | make run | make asan tsan lint fuzz bench bench-quick | make install DESTDIR=

ifeq ($(origin CC),default)
CC       := gcc
endif
CLANG    ?= clang
PY       ?= /usr/bin/python3
O        ?= build
VERSION  := 0.1.0
PREFIX   ?= /usr

PKGS     := libuv openssl jansson sqlite3 libvirt libvirt-qemu libxml-2.0 inih libarchive libsystemd yaml-0.1
ROOMS    := base db images vmm api daemon
WARN     := -Wall -Wextra -Wshadow -Wconversion -Werror
HARDEN   := -fstack-protector-strong -fstack-clash-protection -fPIE
DEBUG    ?= -g
OPT      ?= -O2 -D_FORTIFY_SOURCE=2
SAN      ?=
EXTRA    ?=
# SAN, FAILPOINTS and OPT choose a variant; each variant has a build folder of its own.
CPPFLAGS += -I. -D_GNU_SOURCE -DTEEPOD_VERSION='"$(VERSION)"' $(if $(FAILPOINTS),-DTEEPOD_FAILPOINTS)
CFLAGS   += -std=gnu17 $(WARN) $(OPT) $(DEBUG) $(HARDEN) $(SAN) -MMD -MP
LDFLAGS  += -pie -Wl,-z,relro,-z,now $(SAN)

# llhttp: a library from Debian 13 on, generated C in Debian 12 (package node-llhttp).
LLHTTP_C := $(wildcard /usr/share/llhttp/*.c)
ifeq ($(shell pkg-config --exists libllhttp 2>/dev/null && echo yes),yes)
PKGS     += libllhttp
LLHTTP_C :=
endif
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null) $(if $(LLHTTP_C),-I/usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread -lm

SRC      := $(sort $(shell find $(filter-out daemon,$(ROOMS)) -name '*.c' -not -path 'images/demo/*'))
OBJ      := $(SRC:%.c=$(O)/obj/%.o) $(LLHTTP_C:/usr/share/llhttp/%.c=$(O)/obj/llhttp/%.o)
DAEMON   := $(wildcard daemon/*.c)
DOBJ     := $(DAEMON:%.c=$(O)/obj/%.o)
FIXTURES := $(filter-out %_test.c,$(wildcard tests/unit/*.c))
UNITS    := $(patsubst tests/unit/%.c,$(O)/unit/%,$(wildcard tests/unit/*_test.c))
FUZZERS  := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/*_fuzz.c))
BENCHES  := $(patsubst tests/bench/%.c,$(O)/bench/%,$(filter-out %/http.c %/tool.c,$(wildcard tests/bench/*.c)))

.PHONY: all setup setup-demo demo-image demo run test unit blackbox torture test-tdx asan tsan lint format fuzz bench bench-quick install clean

all: $(O)/teepod

# EXTRA: additional objects or sources of one variant.
$(O)/teepod: $(DOBJ) $(EXTRA) $(O)/libteepod.a
	@echo "LD $@"; $(CC) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

# A simulated later release for tests of an upgrade: it has other step tables.
$(O)/teepod-next: $(DOBJ) vmm/cvm/steps.c $(O)/libteepod.a
	@echo "LD $@"; $(CC) $(CPPFLAGS) -DTEEPOD_NEXT_TABLES $(filter-out -MMD -MP,$(CFLAGS)) $(PKG_CFLAGS) $(LDFLAGS) -o $@ $^ $(PKG_LIBS)

$(O)/libteepod.a: $(OBJ)
	@rm -f $@
	@echo "AR $@"; $(AR) qcs $@ $^

$(O)/obj/llhttp/%.o: /usr/share/llhttp/%.c
	@mkdir -p $(@D)
	@echo "CC $<"; $(CC) -I/usr/share/include/llhttp -DLLHTTP_STRICT_MODE=1 -O2 -g $(HARDEN) $(SAN) -c -o $@ $<

$(O)/obj/%.o: %.c
	@mkdir -p $(@D)
	@echo "CC $@"; $(CC) $(CPPFLAGS) $(CFLAGS) $(PKG_CFLAGS) -c -o $@ $<

# Shared by several unit tests.
$(O)/libfixtures.a: $(FIXTURES:%.c=$(O)/obj/%.o)
	@rm -f $@
	@echo "AR $@"; $(AR) qcs $@ $^

# Unit tests also link the objects of daemon/, except main.o.
$(O)/unit/%: tests/unit/%.c $(O)/libfixtures.a $(filter-out $(O)/obj/daemon/main.o,$(DOBJ)) $(O)/libteepod.a
	@mkdir -p $(@D)
	@echo "LD $@"; $(CC) $(CPPFLAGS) $(CFLAGS) $(PKG_CFLAGS) $(LDFLAGS) -o $@ $(filter-out %.h,$^) -lcmocka $(PKG_LIBS)

$(O)/unit/durable_test: tests/vfs/disk.c

# Programs of `make bench`. They share two files; libraries that a program does not use would only make its start slower.
$(O)/bench/%: tests/bench/%.c tests/bench/http.c tests/bench/tool.c $(O)/libteepod.a
	@mkdir -p $(@D)
	@echo "LD $@"; $(CC) $(CPPFLAGS) $(CFLAGS) $(PKG_CFLAGS) $(LDFLAGS) -Wl,--as-needed -o $@ $(filter-out %.h,$^) $(PKG_LIBS)

.PHONY: build-benches
build-benches: $(BENCHES)

-include $(OBJ:.o=.d) $(DOBJ:.o=.d) $(FIXTURES:%.c=$(O)/obj/%.d) $(UNITS:=.d) $(FUZZERS:=.d) $(BENCHES:=.d)

# ------------------------------------------------------------------ targets for people

setup:
	@scripts/packages.sh install all

setup-demo:
	@scripts/packages.sh install build run demo

demo-image: setup-demo
	@images/demo/build.sh build/images

demo: setup-demo
	@$(MAKE) --no-print-directory all
	@$(MAKE) --no-print-directory demo-image
	@scripts/demo.sh

run: setup-demo
	@$(MAKE) --no-print-directory all demo-image
	exec build/teepod --dev $${TEEPOD_DIR:-build/run} --listen $${TEEPOD_LISTEN:-127.0.0.1:8090}

# Unit tests with ASan and UBSan; at the same time black-box tests of a daemon with failure points and real libvirt, QEMU, SQLite and
# TLS. Takes less than ten minutes on two idle cores. The last lines are the ten slowest tests, the total time, and the counts.
test: setup
	@$(MAKE) --no-print-directory demo-image
	@tests/run.sh

unit: setup
	@$(MAKE) --no-print-directory demo-image
	@tests/run.sh unit

blackbox: setup
	@$(MAKE) --no-print-directory demo-image
	@tests/run.sh blackbox

# The long form of tests/run.sh torture: random requests and faults for SECONDS. The same SEED repeats a run. A failure prints the
# command that repeats only its epoch.
SECONDS ?= 1800
SEED    ?= $(shell od -An -N3 -tu4 /dev/urandom | tr -d ' ')
torture: setup
	@$(MAKE) --no-print-directory demo-image
	@tests/torture/run.sh --seconds $(SECONDS) --seed $(SEED)

# Tests of TDX guests with simulated TDX, under the libvirt and QEMU of a newer Debian: see docs/testing-tdx.md.
test-tdx: setup
	@$(MAKE) --no-print-directory demo-image
	@tests/run.sh tdx

# Tests with abandoned jobs, a shutdown of the daemon that does not wait for them, and changes that wait during it.
HUNG := $(addprefix tests/blackbox/test_hung_steps.py::,test_stop_and_delete_get_past_a_start_that_hangs \
	test_a_forced_shutdown_of_a_hung_guest_ends_in_its_time \
	test_sigterm_ends_the_daemon_with_a_hung_guest_and_a_running_import) \
	tests/blackbox/test_foreign_lock.py::test_a_stop_of_the_daemon_refuses_changes_that_wait_for_the_lock
ASAN := -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
asan: setup
	@$(MAKE) --no-print-directory O=build/asan OPT=-O1 SAN="$(ASAN)" FAILPOINTS=1 build/asan/teepod
	@$(MAKE) --no-print-directory demo-image
	@tests/run.sh unit
	@tests/sanitized.sh asan tests/blackbox/test_lifecycle.py tests/blackbox/test_bad_input.py $(HUNG)

tsan: setup
	@$(MAKE) --no-print-directory demo-image
	@$(MAKE) --no-print-directory O=build/tsan OPT=-O1 SAN="-fsanitize=thread" FAILPOINTS=1 EXTRA=tests/sanitized_close.c \
		build/tsan/teepod
	@tests/sanitized.sh tsan tests/blackbox/test_lifecycle.py $(HUNG)

lint: setup
	@$(MAKE) --no-print-directory all build-benches
	@scripts/lint.sh

format:
	clang-format -i $(shell find $(ROOMS) tests -name '*.[ch]')

FUZZ_SECONDS ?= 20
fuzz: setup
	@$(MAKE) --no-print-directory CC=$(CLANG) O=build/fuzz OPT=-O1 SAN="-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all" build-fuzzers
	@for f in $(FUZZERS:build/%=build/fuzz/%); do \
		n=$$(basename $$f); mkdir -p build/corpus/$$n; echo "== $$n"; \
		$$f -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1 -verbosity=0 -artifact_prefix=build/fuzz/$$n- \
			build/corpus/$$n tests/fuzz/corpus/$$n || exit 1; \
	done

.PHONY: build-fuzzers
build-fuzzers: $(FUZZERS)
$(O)/fuzz/%: tests/fuzz/%.c $(O)/libteepod.a
	@mkdir -p $(@D)
	@echo "LD $@"; $(CC) $(CPPFLAGS) $(CFLAGS) $(PKG_CFLAGS) -fsanitize=fuzzer $(LDFLAGS) -o $@ $(filter-out %.h,$^) $(PKG_LIBS)

# PEER=/path/to/dstack-vmm: measure it, too. TEEPOD_BIN=/path/to/teepod: measure another build of the daemon, e.g. the one before a change.
bench bench-quick: setup
	@$(MAKE) --no-print-directory all build-benches demo-image
	@tests/bench/run.sh $(if $(filter bench-quick,$@),--size quick) $(if $(PEER),--peer "$(PEER)")

install: all
	install -D -m 755 $(O)/teepod $(DESTDIR)$(PREFIX)/bin/teepod
	test -e $(DESTDIR)/etc/teepod/teepod.conf || install -D -m 644 configs/teepod.conf $(DESTDIR)/etc/teepod/teepod.conf
	install -D -m 644 configs/teepod.service $(DESTDIR)/lib/systemd/system/teepod.service
	install -D -m 644 configs/teepod.socket $(DESTDIR)/lib/systemd/system/teepod.socket
	install -D -m 644 configs/teepod.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/teepod.conf
	install -D -m 644 configs/teepod.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/teepod.conf
	install -D -m 644 configs/teepod.rules $(DESTDIR)$(PREFIX)/share/polkit-1/rules.d/50-teepod.rules
	install -D -m 644 configs/teepod-embedded.conf $(DESTDIR)$(PREFIX)/share/doc/teepod/examples/teepod-embedded.conf
	install -D -m 644 configs/teepod.apparmor $(DESTDIR)/etc/apparmor.d/abstractions/libvirt-qemu.d/teepod
	@# libvirt before version 10 reads only this file of the administrator: add one line to it.
	@local=$(DESTDIR)/etc/apparmor.d/local/abstractions/libvirt-qemu; test ! -e $$local || grep -q libvirt-qemu.d/teepod $$local || \
		echo '#include <abstractions/libvirt-qemu.d/teepod>' >> $$local
	install -D -m 644 docs/man/teepod.8 $(DESTDIR)$(PREFIX)/share/man/man8/teepod.8
	install -D -m 644 docs/man/teepod.conf.5 $(DESTDIR)$(PREFIX)/share/man/man5/teepod.conf.5

clean:
	rm -rf build
