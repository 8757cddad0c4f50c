# Pail's build: plain GNU make.  `make help` lists what there is to make.
#
# MODE=release (default) | debug | asan | tsan; each has its own folder build/MODE.
# CC, CFLAGS, LDFLAGS, PREFIX and DESTDIR are the caller's; config.mk, if there, is read first.

-include config.mk

MODE   ?= release
PREFIX ?= /usr/local
DESTDIR ?=
B      := build/$(MODE)

SOVERSION := 1
VERSION   := $(shell sed -n 's/.*WIRE_VERSION *"\(.*\)"/\1/p' include/wire.h)

# ---- the architecture: which folder may include which, and who alone includes what library ----
#
# A folder is a path; each line names all that its files may include besides their own folder.  What
# a program links follows from it (see `closure`), so a call across a line that is not here neither
# passes lint nor links.  *_impl.h belongs to its own folder alone.

USES.include     :=
USES.common      := include
USES.common/config := include common
USES.ipc/wire    := include common
USES.ipc/shm     := include common
USES.ipc/net     := include common
USES.storage/log := common
USES.storage     := include common storage/log
USES.functions   := include common
USES.worker      := include common ipc/wire ipc/shm storage storage/log functions replica
USES.replica     := include common
USES.coordinator/node    := include common common/config ipc/wire
USES.coordinator/security := include common common/config ipc/net coordinator/node
USES.coordinator/clients := include common common/config ipc/wire ipc/net coordinator/node coordinator/security
USES.coordinator/routing := include common common/config ipc/wire coordinator/node
USES.coordinator/queue   := include common ipc/wire ipc/shm coordinator/node
USES.coordinator/peers   := include common common/config ipc/wire ipc/net coordinator/node coordinator/security coordinator/clients
USES.coordinator/workers := include common common/config ipc/wire ipc/shm coordinator/node coordinator/queue
USES.coordinator/process := include common common/config ipc/wire ipc/shm ipc/net coordinator/node coordinator/queue \
	coordinator/workers coordinator/routing
USES.coordinator/cluster := include common common/config ipc/wire ipc/shm ipc/net coordinator/node coordinator/security coordinator/clients \
	coordinator/queue coordinator/workers coordinator/routing coordinator/peers coordinator/process replica
USES.coordinator/front   := include common common/config ipc/wire ipc/shm ipc/net coordinator/node coordinator/security coordinator/clients \
	coordinator/queue coordinator/workers coordinator/routing coordinator/peers coordinator/process coordinator/cluster
USES.coordinator := include common common/config ipc/wire ipc/shm ipc/net coordinator/node coordinator/security coordinator/clients \
	coordinator/queue coordinator/workers coordinator/routing coordinator/peers coordinator/front \
	coordinator/process coordinator/cluster
USES.client      := include common ipc/wire ipc/net
USES.cli         := include common common/config client
USES.gateway     := include common client
USES.agent       := include common ipc/wire
FOLDERS := $(patsubst USES.%,%,$(filter USES.%,$(.VARIABLES)))

ONLY.zmq.h      := ipc/net/socket.c ipc/net/curve.c
ONLY.msgpuck.h  := ipc/wire/msgpack.c
ONLY.lmdb.h     := storage/lmdb_impl.h
ONLY.storage/lmdb_impl.h := storage/lmdb_copy.c storage/lmdb_open.c storage/lmdb_parts.c storage/lmdb_read.c storage/lmdb_session.c storage/lmdb_write.c
ONLY.lua5.4     := functions/lua_impl.h
ONLY.histedit.h := cli/shell.c
ONLY.jansson.h := cli/json_args.c agent/value.c agent/etcd.c
ONLY.curl       := agent/http.c
ONLY.event2     := gateway/http.c gateway/listen.c gateway/listen.h gateway/loop.c gateway/main.c gateway/server.c
HEADERS_ONLY    := $(patsubst ONLY.%,%,$(filter ONLY.%,$(.VARIABLES)))

# ---- flags ----

WARN := -Wall -Wextra -Wshadow -Wconversion -Wformat=2 -Wundef -Wvla -Wstrict-prototypes \
	-Wmissing-prototypes -Wwrite-strings -Wcast-qual -Wimplicit-fallthrough -Wpointer-arith
ifeq ($(CI),true)
WARN += -Werror
endif

MODE.release := -O2 -D_FORTIFY_SOURCE=2
MODE.debug   := -O1 -DPAIL_FAULTS
MODE.asan    := -O1 -DPAIL_FAULTS -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
MODE.tsan    := -O1 -DPAIL_FAULTS -fsanitize=thread
ifeq ($(findstring clang,$(CC)),)
MODE.tsan    += -Wno-tsan # fences: what they order is atomic anyhow
endif
SAN.asan     := -fsanitize=address,undefined
SAN.tsan     := -fsanitize=thread
ifeq ($(MODE.$(MODE)),)
$(error unknown MODE=$(MODE): release, debug, asan or tsan)
endif

ALL_CFLAGS  := -std=c11 -D_GNU_SOURCE -I. -g -fPIC -fvisibility=hidden -fstack-protector-strong \
	-ffunction-sections $(WARN) $(MODE.$(MODE)) $(CFLAGS)
ALL_LDFLAGS := -pthread -Wl,-z,relro,-z,now -Wl,--as-needed $(SAN.$(MODE)) $(LDFLAGS)

LIBS.ipc/net := -lzmq
LIBS.storage := -llmdb
LIBS.functions := -llua5.4
LIBS.cli     := -ledit -ljansson
LIBS.gateway := -levent_core
LIBS.agent   := -lcurl -ljansson

# The page: a plotting library with its licence, as Debian has them, and the page's own files.
PLOT         := /usr/share/javascript/dygraphs/dygraph.min
PLOT_LICENCE := /usr/share/doc/libjs-dygraphs/copyright
PAGE         := $(wildcard gateway/page/*)

# ---- what is built ----

PROGRAMS := $(B)/paild $(B)/pail-worker $(B)/pail-gateway $(B)/pail-agent $(B)/pail
LIBRARY  := $(B)/libpail.a $(B)/libpail.so

all: $(PROGRAMS) $(LIBRARY)

src  = $(sort $(wildcard $(1)/*.c))
objs = $(patsubst %.c,$(B)/%.o,$(1))

# A folder, what it uses, what that uses, and so on; their objects; the libraries they need.
closure = $(sort $(foreach f,$(1),$(f) $(call closure,$(USES.$f))))
objects = $(foreach f,$(call closure,$(1)),$(call objs,$(call src,$(f))))
libs    = $(sort $(foreach f,$(call closure,$(1)),$(LIBS.$(f))))
link    = $(CC) $(filter %.o,$^) -o $@ $(ALL_LDFLAGS) $(call libs,$(1))

$(B)/paild: $(call objects,coordinator)
	$(call link,coordinator)

$(B)/pail-worker: $(call objects,worker)
	$(call link,worker)

$(B)/pail: $(call objects,cli)
	$(call link,cli)

$(B)/pail-gateway: $(call objects,gateway)
	$(call link,gateway)

$(B)/pail-agent: $(call objects,agent)
	$(call link,agent)

$(B)/libpail.a: $(call objects,client)
	rm -f $@
	$(AR) rcs $@ $^

$(B)/libpail.so.$(VERSION): $(call objects,client) client/libpail.map
	$(CC) -shared -Wl,-soname,libpail.so.$(SOVERSION) -Wl,--version-script=client/libpail.map \
		$(filter %.o,$^) -o $@ $(ALL_LDFLAGS) $(call libs,client)

$(B)/libpail.so: $(B)/libpail.so.$(VERSION)
	ln -sf libpail.so.$(VERSION) $(B)/libpail.so.$(SOVERSION)
	ln -sf libpail.so.$(SOVERSION) $@

# A change of compiler or flags compiles everything again.
FLAGS_NOW := $(CC) $(ALL_CFLAGS)
$(B)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(FLAGS_NOW)' | cmp -s - $@ || echo '$(FLAGS_NOW)' > $@

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -MMD -MP -c $< -o $@

$(B)/gateway/page.o: $(PAGE) $(PLOT).js $(PLOT).css $(PLOT_LICENCE)
$(B)/gateway/page.o: ALL_CFLAGS += -DPAGE_PLOT='"$(PLOT).js"' -DPAGE_PLOT_CSS='"$(PLOT).css"' \
	-DPAGE_PLOT_LICENCE='"$(PLOT_LICENCE)"'

-include $(shell find $(B) -name '*.d' 2>/dev/null)

# ---- tests: one program a module (tests/unit), real processes (tests/node), tags on both ----

UNIT := $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(call src,tests/unit))
OBJ_TESTLIB := $(B)/tests/unit/lib/unit.o


# Tests may look into any folder: they take what they call from an archive of everything but mains.
$(B)/libtestable.a: $(filter-out %/main.o,$(call objects,$(FOLDERS)))
	rm -f $@
	$(AR) rcs $@ $^

$(UNIT): $(B)/tests/unit/%: $(B)/tests/unit/%.o $(OBJ_TESTLIB) $(B)/libtestable.a
	$(CC) $^ -o $@ $(ALL_LDFLAGS) $(call libs,$(FOLDERS)) -lcunit

unit: all $(UNIT)

# Several nodes in one process, on a simulated clock, links and worker processes.  System calls are
# led to the simulation, and a few objects of the archive are replaced by its own.
SIM := $(B)/tests/sim/sim
SIM_WRAPPED := eventfd signalfd close read write poll clock_gettime gettimeofday time nanosleep usleep \
	sleep fork getrandom sigprocmask kill waitid posix_fallocate fsync fdatasync

$(SIM): $(call objs,$(call src,tests/sim)) $(B)/libtestable.a
	$(CC) $^ -o $@ $(ALL_LDFLAGS) $(foreach f,$(SIM_WRAPPED),-Wl,--wrap=$f) $(call libs,$(FOLDERS))

# The protocol of copies in a simulated cluster, with rules that can be taken out.
REPLICA_SIM := $(B)/tests/replica/replica_sim
REPLICA_SIM_OBJECTS := $(call objs,$(call src,tests/replica)) $(patsubst %.c,$(B)/switched/%.o,$(call src,replica))

# (What is wrapped is not among them, so that they may be optimized as one.)
REPLICA_SIM_FLAGS := -DREPLICA_SWITCHES $(if $(filter release,$(MODE)),-flto=auto)

$(B)/switched/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(REPLICA_SIM_FLAGS) -MMD -MP -c $< -o $@

$(call objs,$(call src,tests/replica)): ALL_CFLAGS += $(REPLICA_SIM_FLAGS)

$(REPLICA_SIM): $(REPLICA_SIM_OBJECTS) $(call objs,$(call src,common))
	$(CC) $^ -o $@ $(filter -O% -flto%,$(ALL_CFLAGS) $(REPLICA_SIM_FLAGS)) $(ALL_LDFLAGS) -Wl,--wrap=check_failed

# RUNS histories of each scenario, from the seed FROM on; SCENARIOS: some of them.
# SEEDS: so many runs of the protocol of copies instead, in JOBS processes.
RUNS ?= 300
FROM ?= 1
JOBS ?= $(shell nproc)
ifdef SEEDS
sim:
	@$(MAKE) --no-print-directory MODE=release build/release/tests/replica/replica_sim
	build/release/tests/replica/replica_sim --seeds $(SEEDS) --from $(FROM) --jobs $(JOBS)
else
sim:
	@$(MAKE) --no-print-directory MODE=debug build/debug/tests/sim/sim
	build/debug/tests/sim/sim --runs $(RUNS) --from $(FROM) --seconds 0 $(SCENARIOS)
endif

# Each rule of that protocol taken out, which must be found out.
sim-controls:
	@$(MAKE) --no-print-directory MODE=release build/release/tests/replica/replica_sim
	build/release/tests/replica/replica_sim --controls --jobs $(JOBS)

# Fuzz targets: clang's libFuzzer over ASan and UBSan, in a build folder of their own.
FUZZ := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(call src,tests/fuzz))
FUZZ_SOURCES := $(foreach f,$(call closure,storage ipc/wire ipc/net common/config functions),$(call src,$(f))) coordinator/routing/table.c \
	coordinator/security/rights.c coordinator/security/judge.c
FUZZ_CFLAGS := -std=c11 -D_GNU_SOURCE -I. -g -O1 $(filter-out -Werror,$(WARN)) -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all -fno-omit-frame-pointer

build/fuzz/%.o: %.c
	@mkdir -p $(@D)
	clang $(FUZZ_CFLAGS) -MMD -MP -c $< -o $@

$(FUZZ): build/fuzz/%: build/fuzz/tests/fuzz/%.o $(patsubst %.c,build/fuzz/%.o,$(FUZZ_SOURCES))
	clang -fsanitize=fuzzer,address,undefined $^ -o $@ -pthread $(call libs,storage functions ipc/net)

-include $(shell find build/fuzz -name '*.d' 2>/dev/null)

fuzz: $(FUZZ)

# Power cuts: the store as programs, and what writes down all that they do to its files.
POWER := $(B)/tests/power/store $(B)/tests/power/transfers $(B)/tests/power/copies $(B)/tests/power/shim.so

$(B)/tests/power/store $(B)/tests/power/transfers $(B)/tests/power/copies: %: %.o $(call objects,storage)
	$(call link,storage)

$(B)/tests/power/shim.so: $(B)/tests/power/shim.o
	$(CC) -shared $^ -o $@ -pthread -ldl

# They must be seen from outside the library.
$(B)/tests/power/shim.o: ALL_CFLAGS += -fvisibility=default

power: $(POWER)

# A wall clock that tests can bend, for any build.
# (By several tests at once, perhaps: nobody may load half of it.)
build/clock.so: tests/clock/shim.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -shared $(WARN) $< -o $@.$$$$ -pthread -ldl && mv $@.$$$$ $@

# A disk that they can hang, fill, and take the power from.
build/disk.so: tests/disk/shim.c
	@mkdir -p $(@D)
	$(CC) -std=c11 -D_GNU_SOURCE -O2 -g -fPIC -shared $(WARN) $< -o $@.$$$$ -pthread -ldl && mv $@.$$$$ $@

# Nodes with a rule taken out, which the tests of histories must find out.
broken:
	@for what in sync position; do \
		d=build/broken-$$what; mkdir -p $$d && \
		$(MAKE) --no-print-directory MODE=debug B=$$d CFLAGS="$(CFLAGS) -DPAIL_BREAK_$$(echo $$what | tr a-z A-Z)" \
			$$d/pail-worker >/dev/null && \
		cp build/debug/paild build/debug/pail $$d/ || exit 1; done

# Nodes of a cluster with a rule taken out: a primary that answers before its backups have it, one that reads
# without a lease, a backup that listens to a primary that is none any more.
broken-ring:
	@for what in copies lease fence; do \
		d=build/broken-$$what; mkdir -p $$d && \
		$(MAKE) --no-print-directory MODE=debug B=$$d CFLAGS="$(CFLAGS) -DPAIL_BREAK=RULE_$$(echo $$what | tr a-z A-Z)" all >/dev/null || exit 1; done

# Everything: unit and node tests in debug, all of them again under ASan+UBSan, and what is shared
# between threads and processes under TSan.  ONLY, EXCLUDE, INCLUDE choose by tag or name, and then
# only what those tests need is built.
test: deps
	@tests/run.sh

# All tests of clusters, those too that make test leaves out, in debug and under ASan: three quarters of an
# hour on two cores.  Needs root, for network namespaces.
test-cluster: deps
	@INCLUDE=long ONLY="debug asan cluster" tests/run.sh

# The gateway's page in a headless Chromium, under load and kills; pictures lie in build/page.
test-page:
	@tools/deps.sh page
	@$(MAKE) --no-print-directory MODE=debug all
	/usr/bin/python3 tests/node/run.py --build build/debug --include page --only page

# README's first minute on a bare Debian: make run and make test there, word for word.  Needs root and
# Debian's mirror; a quarter of an hour and more.
test-fresh:
	@tests/fresh.sh

# Pail as a service: a real systemd in a container, two units, everything operators do to them under
# load.  Needs root and Debian's mirror; a minute, and one more the first time.
test-systemd: deps
	$(MAKE) --no-print-directory all
	@tests/systemd/run.sh

# An hour (or TORTURE_S seconds) of kills and restarts under load, with each of the two checkers.
torture: deps
	$(MAKE) MODE=debug all
	/usr/bin/python3 tests/node/run.py --build build/debug --include torture --only torture

# The same of clusters, in network namespaces; needs root.
torture-ring: deps
	$(MAKE) MODE=debug all
	/usr/bin/python3 tests/node/run.py --build build/debug --include torture_cluster --only torture_cluster

# ---- the rest ----

# What builds and runs, and what tests besides: see tools/deps.sh.
deps:
	@tools/deps.sh test

deps-run:
	@tools/deps.sh run

run: deps-run
	@$(MAKE) --no-print-directory all
	@tools/run.sh $(B)

# Two nodes that route to each other; one is killed and comes back.
demo: deps-run
	@$(MAKE) --no-print-directory all
	@tools/demo.sh $(B)

# Three nodes with copies of each other's buckets; one is killed under load and comes back.
demo-ring: deps
	@$(MAKE) --no-print-directory all
	@tools/demo_cluster.sh $(B)

# Also a program that speaks both protocols over plain sockets.
$(B)/bench/sockets: $(B)/bench/sockets.o $(call objects,ipc/wire common)
	$(CC) $^ -o $@ $(ALL_LDFLAGS) $(call libs,ipc/wire common)

bench: deps
	$(MAKE) MODE=release all build/release/bench/sockets
	bench/redis.sh
	bench/atomic.sh

# Instructions of the paths that every request takes, held to bench/instructions.txt.
$(B)/bench/instructions: $(B)/bench/instructions.o $(B)/libtestable.a
	$(CC) $^ -o $@ $(ALL_LDFLAGS) $(call libs,$(FOLDERS))
$(B)/bench/instructions.o: ALL_CFLAGS += -DINSTRUCTIONS_TIMES=10000

instructions instructions-update: $(B)/bench/instructions
	bench/instructions.sh $(B) $(if $(filter instructions-update,$@),update)

# What counting requests costs.
bench-counting: deps
	$(MAKE) MODE=release all
	$(MAKE) MODE=release B=build/uncounted CFLAGS='$(CFLAGS) -DPAIL_UNCOUNTED' all
	bench/counting.py

# How long others wait while some ask for as much as they may.
bench-fair: deps
	$(MAKE) MODE=release all
	bench/fair.py

# What a function costs beside the bucket's own work.
$(B)/bench/functions: $(B)/bench/functions.o $(call objects,functions)
	$(call link,functions)

bench-functions: deps
	@$(MAKE) --no-print-directory MODE=release build/release/bench/functions
	@build/release/bench/functions

# What routing costs: the same load straight and through another node, in turns.
bench-routed: deps
	$(MAKE) MODE=release all
	bench/routed.sh

# What keys cost, beside a node without.
$(B)/bench/handshakes: $(B)/bench/handshakes.o $(call objects,ipc/net ipc/wire common)
	$(CC) $^ -o $@ $(ALL_LDFLAGS) $(call libs,ipc/net ipc/wire common)

bench-keys: deps
	$(MAKE) MODE=release all build/release/bench/handshakes
	bench/keys.sh

# Nodes with copies beside a single one, and beside etcd as a store.
$(B)/bench/etcd: $(B)/bench/etcd.o
	$(CC) $^ -o $@ $(ALL_LDFLAGS)

bench-ring: deps
	$(MAKE) MODE=release all build/release/bench/etcd
	bench/cluster.sh

# What clients see of restarts, upgrades and kills.
bench-restarts: deps
	$(MAKE) MODE=release all
	bench/restarts.sh

lint:
	@CC='$(CC)' tools/lint.sh
	@$(MAKE) --no-print-directory lint-layers lint-symbols lint-docs

lint-layers:
	@fail=0; tools/folders.sh '$(FOLDERS)' || fail=1; \
	$(foreach f,$(FOLDERS),tools/layers.sh $(f) '$(USES.$(f))' || fail=1;) \
	$(foreach h,$(HEADERS_ONLY),tools/only.sh $(h) '$(ONLY.$(h))' '$(FOLDERS)' || fail=1;) exit $$fail

lint-symbols: all
	@tools/symbols.sh $(B)

# What editors and analyzers ask for.
compdb:
	@$(MAKE) --no-print-directory -Bn MODE=debug all unit build/debug/tests/sim/sim | tools/compdb.sh >compile_commands.json

format:
	clang-format -i $$(git ls-files '*.c' '*.h')

# The tables of docs/metrics.md, from the program's own.
METRICS_DOC := $(B)/tests/docs/metrics_doc

$(METRICS_DOC): $(B)/tests/docs/metrics_doc.o $(B)/libtestable.a
	$(CC) $^ -o $@ $(ALL_LDFLAGS) $(call libs,$(FOLDERS))

docs: $(METRICS_DOC)
	@{ sed '/^## Figures of the node$$/,$$d' docs/metrics.md && $(METRICS_DOC); } >$(B)/metrics.md && mv $(B)/metrics.md docs/metrics.md

lint-docs: $(METRICS_DOC)
	@sed -n '/^## Figures of the node$$/,$$p' docs/metrics.md >$(B)/metrics.md; $(METRICS_DOC) | diff $(B)/metrics.md - || \
		{ echo "docs/metrics.md is not what the tables say: make docs"; exit 1; }

# Manual pages and bash completion, made from what the programs say of themselves.
MANUAL := $(B)/manual/pail.1

$(MANUAL): $(B)/pail $(B)/paild docs/protocol.md $(wildcard tools/manual/*)
	@tools/manual/make.sh $(B)

manual: $(MANUAL)

install: all manual
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/libexec/pail $(DESTDIR)$(PREFIX)/lib/pkgconfig \
		$(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/share/pail/conf/functions \
		$(DESTDIR)$(PREFIX)/share/pail/conf/prometheus $(DESTDIR)$(PREFIX)/share/pail/conf/grafana \
		$(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/share/doc/pail $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
	install -m755 $(B)/paild $(B)/pail $(DESTDIR)$(PREFIX)/bin
	install -m755 $(B)/pail-worker $(B)/pail-gateway $(B)/pail-agent $(DESTDIR)$(PREFIX)/libexec/pail
	install -m644 $(B)/libpail.a $(DESTDIR)$(PREFIX)/lib
	install -m755 $(B)/libpail.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib
	ln -sf libpail.so.$(VERSION) $(DESTDIR)$(PREFIX)/lib/libpail.so.$(SOVERSION)
	ln -sf libpail.so.$(SOVERSION) $(DESTDIR)$(PREFIX)/lib/libpail.so
	install -m644 include/pail.h $(DESTDIR)$(PREFIX)/include
	install -m644 conf/*.conf conf/*.inc $(DESTDIR)$(PREFIX)/share/pail/conf
	install -m644 conf/functions/*.lua $(DESTDIR)$(PREFIX)/share/pail/conf/functions
	install -m644 conf/prometheus/rules.yml $(DESTDIR)$(PREFIX)/share/pail/conf/prometheus
	install -m644 conf/grafana/pail.json $(DESTDIR)$(PREFIX)/share/pail/conf/grafana
	install -m644 docs/*.md README.md $(DESTDIR)$(PREFIX)/share/doc/pail
	for n in 1 5 7 8; do install -d $(DESTDIR)$(PREFIX)/share/man/man$$n && \
		install -m644 $(B)/manual/*.$$n $(DESTDIR)$(PREFIX)/share/man/man$$n || exit 1; done
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m644 $(B)/manual/pail.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/pail
	ln -sf pail $(DESTDIR)$(PREFIX)/share/bash-completion/completions/paild
	sed 's|@PREFIX@|$(PREFIX)|g; s|@VERSION@|$(VERSION)|g' client/pail.pc.in > $(DESTDIR)$(PREFIX)/lib/pkgconfig/pail.pc
	sed 's|@PREFIX@|$(PREFIX)|g' systemd/pail@.service.in > $(DESTDIR)$(PREFIX)/lib/systemd/system/pail@.service
	install -m644 systemd/pail.target systemd/pail@.socket $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m644 systemd/sysusers.conf $(DESTDIR)$(PREFIX)/lib/sysusers.d/pail.conf
	install -m644 systemd/tmpfiles.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/pail.conf

clean:
	rm -rf build

help:
	@echo 'make [MODE=release|debug|asan|tsan]   build into build/MODE'
	@echo 'make run       install what is missing, build, start a node in the foreground'
	@echo 'make demo      two nodes that route to each other, one is killed and comes back; then with keys'
	@echo 'make demo-ring three nodes with copies of each bucket: one is killed under load and comes back'
	@echo 'make test      install what is missing, build, run every test; ONLY= EXCLUDE= INCLUDE='
	@echo 'make lint      formatting, includes, headers, symbols, static analysis'
	@echo 'make bench     measure beside Redis, in one run'
	@echo 'make test-systemd   the units under a real systemd, in a container'
	@echo 'make test-page      the page of a node in a headless Chromium'
	@echo 'make test-fresh     make run and make test on a bare Debian, in a folder'
	@echo 'make test-cluster   all tests of clusters, three quarters of an hour'
	@echo 'make fuzz      build the fuzz targets into build/fuzz: each takes a corpus folder, see tests/fuzz'
	@echo 'make sim       nodes on simulated clocks and links; RUNS= FROM= SCENARIOS='
	@echo 'make sim SEEDS=N    copies of partitions in a simulated cluster, N runs; FROM= JOBS='
	@echo 'make sim-controls   the same with each of its rules taken out'
	@echo 'make bench-counting measure what counting requests costs, beside a build that does not'
	@echo 'make bench-fair   measure how long others wait beside clients that ask for much'
	@echo 'make bench-routed   measure what routing costs'
	@echo 'make bench-keys   measure what keys cost'
	@echo 'make bench-functions   measure what a function costs'
	@echo 'make bench-ring   measure nodes with copies beside a single one, and beside etcd as a store'
	@echo 'make bench-restarts   measure what clients see of restarts, upgrades and kills'
	@echo 'make torture   kills, restarts and upgrades under load, TORTURE_S seconds of each of two kinds'
	@echo 'make torture-ring   the same of a cluster of three to five nodes; needs root'
	@echo 'make manual    manual pages and bash completion into build/MODE/manual'
	@echo 'make install   PREFIX=/usr/local DESTDIR='
	@echo 'make compdb    compile_commands.json, for editors'
	@echo 'make instructions   count what every request executes, against bench/instructions.txt'
	@echo 'make deps format clean help'

FORCE:
.PHONY: all manual unit sim sim-controls fuzz power broken broken-ring test test-cluster test-fresh test-page test-systemd torture torture-ring deps deps-run run demo demo-ring bench bench-fair bench-counting bench-ring bench-routed bench-keys bench-restarts bench-functions lint lint-layers lint-symbols lint-docs docs compdb instructions instructions-update format install clean help FORCE
