/* SPDX-License-Identifier: Apache-2.0
 * hypervisor_test.c - the hypervisor room against libvirt's test driver, and against real QEMUs.
 *
 * The real half runs on an embedded driver in a folder of its own, or on $TEEPOD_TEST_URI. Its
 * guest is one boot sector.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/lanes.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "tests/unit/pid_lock.h"
#include "vmm/virt/domain_spec.h"
#include "vmm/virt/embed_root.h"
#include "vmm/virt/hypervisor.h"
#include "vmm/virt/qemu_pid.h"

enum { DEADLINE_MS = 30000, EVENTS = 256 };

struct rig {
	uv_loop_t loop;
	struct hypervisor *h;
	char dir[32];
	unsigned ups, downs;
	struct err why;
	struct hv_event events[EVENTS];
	unsigned n;
	bool closed;
};

static void on_event(void *arg, const struct hv_event *ev)
{
	struct rig *r = arg;

	assert_true(r->n < EVENTS);
	r->events[r->n++] = *ev;
}

static void on_link(void *arg, bool up, const struct err *e)
{
	struct rig *r = arg;

	if (up) {
		r->ups++;
		assert_true(hv_ready(r->h));
		assert_non_null(hv_caps(r->h));
	} else {
		r->downs++;
		r->why = *e;
	}
}

static void tick(uv_timer_t *t)
{
	(void)t;
}

/* Turn the loop until *@flag, a byte or a counter, is @want or more. */
static void turn_until(struct rig *r, const unsigned *flag, unsigned want)
{
	int64_t end = clock_mono_ms() + DEADLINE_MS;
	uv_timer_t t;

	uv_timer_init(&r->loop, &t);
	uv_timer_start(&t, tick, 10, 10);
	while (*flag < want && clock_mono_ms() < end)
		uv_run(&r->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&t, NULL);
	uv_run(&r->loop, UV_RUN_NOWAIT);
	assert_true(*flag >= want);
}

static void turn_for(struct rig *r, int ms)
{
	int64_t end = clock_mono_ms() + ms;
	uv_timer_t t;

	uv_timer_init(&r->loop, &t);
	uv_timer_start(&t, tick, 10, 10);
	while (clock_mono_ms() < end)
		uv_run(&r->loop, UV_RUN_ONCE);
	uv_close((uv_handle_t *)&t, NULL);
	uv_run(&r->loop, UV_RUN_NOWAIT);
}

/* ------------------------------------------------------------------ calls, each in a job */

struct call {
	struct hypervisor *h;
	int (*fn)(struct call *c);
	const char *text;
	bool udp;
	const char *address;
	uint16_t port, to;
	enum domain_state state;
	struct hv_domain *list;
	size_t n;
	int r;
	int64_t us;
	struct err e;
	unsigned done;
};

static void call_work(void *arg)
{
	struct call *c = arg;
	int64_t begin = clock_mono_us();

	c->r = c->fn(c);
	c->us = clock_mono_us() - begin;
}

static void call_done(void *arg, enum job_end end)
{
	assert_int_equal(end, JOB_WORKED);
	((struct call *)arg)->done = 1;
}

static void begin(struct rig *r, struct call *c)
{
	static const struct job_calls calls = { .lane = LANE_GUEST,
						.what = "a call of this test",
						.deadline_ms = DEADLINE_MS,
						.work = call_work,
						.done = call_done };

	c->h = r->h;
	(void)job_start(&r->loop, &calls, c);
}

static void call(struct rig *r, struct call *c)
{
	begin(r, c);
	turn_until(r, &c->done, 1);
}

static int do_define(struct call *c)
{
	return hv_define(c->h, c->text, &c->e);
}

static int do_start(struct call *c)
{
	return hv_start(c->h, c->text, &c->e);
}

static int do_destroy(struct call *c)
{
	return hv_destroy(c->h, c->text, &c->e);
}

static int do_button(struct call *c)
{
	return hv_power_button(c->h, c->text, &c->e);
}

static int do_undefine(struct call *c)
{
	return hv_undefine(c->h, c->text, &c->e);
}

static int do_state(struct call *c)
{
	return hv_state(c->h, c->text, &c->state, &c->e);
}

static int do_list(struct call *c)
{
	return hv_list(c->h, &c->list, &c->n, &c->e);
}

static int do_forward(struct call *c)
{
	return hv_forward_add(c->h, c->text, 0, c->udp, c->address, c->port, c->to, false, &c->e);
}

static int do_unforward(struct call *c)
{
	return hv_forward_remove(c->h, c->text, 0, c->udp, c->address, c->port, &c->e);
}

static int run(struct rig *r, int (*fn)(struct call *c), const char *text)
{
	struct call c = { .fn = fn, .text = text };

	call(r, &c);
	if (c.r)
		print_message("%s\n", c.e.text);
	return c.r;
}

static enum domain_state state(struct rig *r, const char *uuid)
{
	struct call c = { .fn = do_state, .text = uuid, .state = DOMAIN_ABSENT };

	call(r, &c);
	assert_int_equal(c.r, 0);
	return c.state;
}

static enum domain_state listed_state(struct rig *r, const char *uuid)
{
	struct call c = { .fn = do_list };
	enum domain_state found = DOMAIN_ABSENT;

	call(r, &c);
	assert_int_equal(c.r, 0);
	for (size_t i = 0; i < c.n; i++)
		if (!strcmp(c.list[i].uuid, uuid))
			found = c.list[i].state;
	free(c.list);
	return found;
}

static bool listed(struct rig *r, const char *uuid)
{
	return listed_state(r, uuid) != DOMAIN_ABSENT;
}

static int forward_at(struct rig *r, int (*fn)(struct call *c), const char *uuid, bool udp,
		      uint16_t port, uint16_t to)
{
	struct call c = {
		.fn = fn, .text = uuid, .udp = udp, .address = "127.0.0.1", .port = port, .to = to
	};

	call(r, &c);
	return c.r;
}

/* ------------------------------------------------------------------ a rig up and down */

static struct rig *rig_make(const char *uri, bool never)
{
	struct rig *r = xcalloc(1, sizeof(*r));
	struct err e;

	(void)snprintf(r->dir, sizeof(r->dir), "/tmp/teepod-hv-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	assert_int_equal(uv_loop_init(&r->loop), 0);
	struct hv_config cfg = {
		.loop = &r->loop,
		.uri = uri,
		.embed_root = r->dir,
		.never = never,
		.on_event = on_event,
		.on_link = on_link,
		.arg = r,
	};
	assert_int_equal(hv_new(&cfg, &r->h, &e), 0);
	assert_false(hv_ready(r->h));
	return r;
}

static struct rig *rig_new(const char *uri)
{
	return rig_make(uri, false);
}

static struct rig *rig_up(const char *uri)
{
	struct rig *r = rig_new(uri);

	turn_until(r, &r->ups, 1);
	return r;
}

static void on_closed(void *arg)
{
	((struct rig *)arg)->closed = true;
}

/* Closing leaves nothing in the loop: it ends by itself and closes without complaint. */
static void rig_free(struct rig *r)
{
	struct err e;

	hv_close(r->h, on_closed, r);
	assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
	assert_true(r->closed);
	assert_int_equal(lanes_close(&r->loop), 0);
	assert_int_equal(uv_run(&r->loop, UV_RUN_DEFAULT), 0);
	assert_int_equal(uv_loop_close(&r->loop), 0);
	assert_int_equal(file_remove_tree(r->dir, &e), 0);
	free(r);
}

/* ------------------------------------------------------------------ libvirt's test driver */

#define SOME_UUID "5a1b9b44-0000-4000-8000-000000000001"
#define NO_UUID   "5a1b9b44-0000-4000-8000-00000000dead"

static const char test_xml[] = "<domain type='test'><name>some</name><uuid>" SOME_UUID "</uuid>"
			       "<metadata><t:cvm xmlns:t='" DOMAIN_NAMESPACE "'/></metadata>"
			       "<memory>16384</memory><os><type>hvm</type></os></domain>";

static void each_change_of_a_domain_is_reported_in_order(void **st)
{
	static const enum domain_state want[] = { DOMAIN_RUNNING, DOMAIN_OFF, DOMAIN_RUNNING,
						  DOMAIN_OFF };
	struct rig *r = rig_up("test:///default");

	(void)st;
	assert_int_equal(run(r, do_define, test_xml), 0);
	assert_int_equal(state(r, SOME_UUID), DOMAIN_UNTOLD);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(run(r, do_start, SOME_UUID), 0);
		assert_int_equal(state(r, SOME_UUID), DOMAIN_RUNNING);
		assert_int_equal(run(r, do_destroy, SOME_UUID), 0);
	}
	turn_until(r, &r->n, 4);
	assert_int_equal(r->n, 4);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(r->events[i].state, want[i]);
		assert_string_equal(r->events[i].uuid, SOME_UUID);
	}
	assert_int_equal(run(r, do_undefine, SOME_UUID), 0);
	assert_int_equal(state(r, SOME_UUID), DOMAIN_ABSENT);
	rig_free(r);
}

/* The driver brings a domain of its own, called test. */
static void foreign_domains_are_not_listed(void **st)
{
	struct rig *r = rig_up("test:///default");
	struct call c = { .fn = do_list };

	(void)st;
	assert_int_equal(run(r, do_define, test_xml), 0);
	call(r, &c);
	assert_int_equal(c.r, 0);
	assert_int_equal(c.n, 1);
	assert_string_equal(c.list[0].uuid, SOME_UUID);
	assert_int_equal(c.list[0].state, DOMAIN_UNTOLD);
	free(c.list);
	assert_int_equal(run(r, do_undefine, SOME_UUID), 0);
	rig_free(r);
}

static void errors_carry_libvirts_text_and_nothing_is_printed(void **st)
{
	struct rig *r = rig_up("test:///default");
	struct call c = { .fn = do_define, .text = "<domain" };

	(void)st;
	call(r, &c);
	assert_int_equal(c.r, -ERR_HOST);
	assert_non_null(strstr(c.e.text, "define domain: "));
	assert_null(strchr(c.e.text, '\n'));
	rig_free(r);
}

static void a_driver_without_tdx_reports_that(void **st)
{
	struct rig *r = rig_up("test:///default");

	(void)st;
	assert_false(hv_caps(r->h)->tdx);
	assert_true(hv_caps(r->h)->tdx_reason[0] != '\0');
	assert_true(hv_caps(r->h)->libvirt[0] != '\0');
	rig_free(r);
}

static void closing_while_connecting_is_clean(void **st)
{
	(void)st;
	rig_free(rig_new("test:///default"));
	rig_free(rig_new("qemu+unix:///system?socket=/nonexistent/libvirt-sock"));
}

static void a_missing_daemon_is_reported_once_and_tried_again(void **st)
{
	struct rig *r = rig_new("qemu+unix:///system?socket=/nonexistent/libvirt-sock");
	struct call c = { .fn = do_start, .text = SOME_UUID };

	(void)st;
	turn_until(r, &r->downs, 1);
	assert_non_null(strstr(r->why.text, "/nonexistent/libvirt-sock"));
	turn_for(r, 700); /* two more tries */
	assert_int_equal(r->downs, 1);
	assert_int_equal(r->ups, 0);
	assert_null(hv_caps(r->h));
	call(r, &c);
	assert_int_equal(c.r, -ERR_UNAVAILABLE);
	rig_free(r);
}

static void a_folder_too_long_for_sockets_is_refused_for_good(void **st)
{
	static const char uri[] = "qemu:///embed?root=/tmp/"
				  "0123456789012345678901234567890123456789012345678901234567890";
	struct rig *r = rig_new(uri);

	(void)st;
	turn_until(r, &r->downs, 1);
	assert_int_equal(r->why.code, ERR_INVALID);
	assert_non_null(strstr(r->why.text, "at most 46"));
	rig_free(r);
}

/* ------------------------------------------------------------------ the embedded root */

static bool exists(const char *dir, const char *name)
{
	auto_free char *path = xasprintf("%s/%s", dir, name);

	return !access(path, F_OK);
}

/* Left-over status files make libvirt send SIGTERM to whoever has the pid now. */
static void run_files_of_another_boot_are_forgotten_and_of_this_one_kept(void **st)
{
	char dir[] = "/tmp/teepod-hv-XXXXXX";
	struct err e;

	(void)st;
	assert_non_null(mkdtemp(dir));
	auto_free char *run_dir = xasprintf("%s/run/qemu", dir),
		       *status = xasprintf("%s/run/qemu/x.xml", dir);
	auto_free char *conf = xasprintf("%s/etc/qemu.conf", dir);
	assert_int_equal(embed_root_prepare_for(dir, "boot one", &e), 0);
	assert_true(exists(dir, "etc/qemu.conf") && exists(dir, "lib"));
	assert_int_equal(file_mkdirs(run_dir, 0755, &e), 0);
	assert_int_equal(file_write(status, "x", 1, 0644, &e), 0);
	assert_int_equal(file_write(conf, "user = \"nobody\"", 15, 0644, &e), 0);
	assert_int_equal(embed_root_prepare_for(dir, "boot one", &e), 0);
	assert_true(exists(dir, "run/qemu/x.xml"));
	assert_int_equal(embed_root_prepare_for(dir, "boot two", &e), 0);
	assert_false(exists(dir, "run/qemu/x.xml"));

	auto_free char *text = NULL;
	assert_int_equal(file_read(conf, 4096, &text, NULL, &e), 0);
	assert_null(strstr(text, "nobody"));
	assert_non_null(strstr(text, "stdio_handler = \"file\""));
	assert_int_equal(file_remove_tree(dir, &e), 0);
}

/* The driver would take over QEMUs of the original, or end them. */
static void run_files_in_a_copy_of_a_root_are_forgotten(void **st)
{
	char dir[] = "/tmp/teepod-hv-XXXXXX", copy[] = "/tmp/teepod-hv-XXXXXX";
	auto_free char *stamp = NULL, *short_stamp = NULL;
	struct err e;

	(void)st;
	assert_non_null(mkdtemp(dir));
	assert_non_null(mkdtemp(copy));
	auto_free char *run_dir = xasprintf("%s/run/qemu", dir), *mark = xasprintf("%s/boot", dir),
		       *status = xasprintf("%s/run/qemu/x.xml", dir),
		       *command = xasprintf("cp -a %s/. %s", dir, copy);
	assert_int_equal(embed_root_prepare(dir, &e), 0);
	assert_int_equal(file_mkdirs(run_dir, 0755, &e), 0);
	assert_int_equal(file_write(status, "x", 1, 0644, &e), 0);
	assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own folders */
	assert_int_equal(embed_root_prepare(copy, &e), 0);
	assert_false(exists(copy, "run/qemu/x.xml"));
	assert_int_equal(embed_root_prepare(dir, &e), 0);
	assert_true(exists(dir, "run/qemu/x.xml"));

	/* An earlier release wrote no folder into its stamp: an upgrade keeps the guests that run.
	 */
	assert_int_equal(file_read(mark, 4096, &stamp, NULL, &e), 0);
	*strchr(stamp, '/') = '\0';
	*strrchr(stamp, ' ') = '\0';
	short_stamp = xstrndup(stamp, (size_t)(strrchr(stamp, ' ') - stamp));
	assert_int_equal(file_write(mark, short_stamp, strlen(short_stamp), 0644, &e), 0);
	assert_int_equal(embed_root_prepare(dir, &e), 0);
	assert_true(exists(dir, "run/qemu/x.xml"));
	assert_int_equal(file_remove_tree(dir, &e), 0);
	assert_int_equal(file_remove_tree(copy, &e), 0);
}

/* libvirt would try for half a minute to reach the monitor of a QEMU that never was. */
static void a_domain_whose_qemu_was_never_executed_is_forgotten(void **st)
{
	static const char unborn[] = "<!-- x -->\n<domstatus state='paused' reason='starting up' "
				     "pid='0'>\n</domstatus>\n",
			  born[] = "<domstatus state='running' reason='booted' pid='4711'>\n <x "
				   "pid='0'/></domstatus>\n";
	char dir[] = "/tmp/teepod-hv-XXXXXX";
	struct err e;

	(void)st;
	assert_non_null(mkdtemp(dir));
	auto_free char *run_dir = xasprintf("%s/run/qemu", dir),
		       *a = xasprintf("%s/a.xml", run_dir), *a_pid = xasprintf("%s/a.pid", run_dir),
		       *b = xasprintf("%s/b.xml", run_dir);
	assert_int_equal(embed_root_prepare(dir, &e), 0);
	assert_int_equal(file_mkdirs(run_dir, 0755, &e), 0);
	assert_int_equal(file_write(a, unborn, strlen(unborn), 0644, &e), 0);
	assert_int_equal(file_write(a_pid, "4712", 4, 0644, &e), 0);
	assert_int_equal(file_write(b, born, strlen(born), 0644, &e), 0);
	assert_int_equal(embed_root_prepare(dir, &e), 0);
	assert_false(exists(dir, "run/qemu/a.xml") || exists(dir, "run/qemu/a.pid"));
	assert_true(exists(dir, "run/qemu/b.xml"));
	assert_int_equal(file_remove_tree(dir, &e), 0);
}

static void the_qemu_of_a_domain_is_the_process_that_locks_its_pid_file(void **st)
{
	struct rig *r = rig_make("qemu:///embed", true);
	auto_free char *folder = xasprintf("%s/run/qemu", r->dir);
	auto_free char *path = xasprintf("%s/some.pid", folder);
	struct pollfd p = { .events = POLLIN };
	struct err e;
	pid_t pid;
	int file;

	(void)st;
	assert_int_equal(hv_qemu_pidfd(r->h, "some"), -1);
	assert_int_equal(qemu_pid_open(r->h, "some"), -1);
	assert_false(qemu_has_ended(-1)); /* nothing is known of it */
	assert_int_equal(file_mkdirs(folder, 0755, &e), 0);
	pid = pid_lock_by_child(path);
	file = qemu_pid_open(r->h, "some");
	assert_false(qemu_has_ended(file));
	p.fd = hv_qemu_pidfd(r->h, "some");
	assert_true(p.fd >= 0);
	assert_int_equal(poll(&p, 1, 0), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	close(p.fd);
	assert_true(qemu_has_ended(file));
	assert_int_equal(hv_qemu_pidfd(r->h, "some"), -1);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(unlink(path), 0); /* libvirt cleans up */
	assert_true(qemu_has_ended(file));
	close(file);
	assert_int_equal(qemu_pid_open(r->h, "some"), -1);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(hv_qemu_pidfd(r->h, "some"), -1); /* does not wait */
	rig_free(r);
}

static void a_folder_open_in_another_process_is_worth_waiting_for(void **st)
{
	char dir[] = "/tmp/teepod-hv-XXXXXX", byte;
	int ready[2];
	struct err e;

	(void)st;
	assert_non_null(mkdtemp(dir));
	auto_free char *run_dir = xasprintf("%s/run/qemu", dir),
		       *pidfile = xasprintf("%s/driver.pid", run_dir);
	assert_int_equal(embed_root_prepare(dir, &e), 0);
	assert_int_equal(file_mkdirs(run_dir, 0755, &e), 0);
	assert_int_equal(file_write(pidfile, "1\n", 2, 0644, &e), 0);
	assert_int_equal(pipe(ready), 0);
	pid_t child = fork();
	if (!child) {
		FILE *f = fopen(pidfile, "r+");
		bool locked = f && !lockf(fileno(f), F_LOCK, 0);

		_exit(write(ready[1], "x", 1) == 1 && locked ? pause() : 1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(embed_root_prepare(dir, &e), -ERR_UNAVAILABLE);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	assert_int_equal(embed_root_prepare(dir, &e), 0);
	(void)close(ready[0]);
	(void)close(ready[1]);
	assert_int_equal(file_remove_tree(dir, &e), 0);
}

/* ------------------------------------------------------------------ real QEMUs */

struct guest {
	struct rig *r;
	char uuid[UUID_TEXT], log[64];
};

/* The image must be padded: QEMU's virtio-blk refuses to boot from half a kilobyte. */
static void build_boot_sector(const char *dir)
{
	auto_free char *cmd = xasprintf(
		"gcc -c -o %1$s/boot.o images/demo/boot.S && "
		"ld -m elf_x86_64 --oformat binary -Ttext 0x7c00 -o %1$s/boot.img %1$s/boot.o && "
		"truncate -s 1M %1$s/boot.img",
		dir);

	assert_int_equal(system(cmd), 0);
}

static void guest_define(struct guest *g)
{
	auto_free char *image = xasprintf("%s/boot.img", g->r->dir), *xml = NULL;
	struct domain_spec d = {
		.app_id = "0123456789abcdef0123456789abcdef01234567",
		.vcpus = 1,
		.memory_mib = 16,
		.rootfs = image,
		.serial_log = g->log,
	};
	struct err e;

	id_uuid4(g->uuid);
	memcpy(d.uuid, g->uuid, UUID_TEXT);
	(void)snprintf(d.name, sizeof(d.name), "teepod-%.8s", g->uuid);
	(void)snprintf(g->log, sizeof(g->log), "%s/%.8s.log", g->r->dir, g->uuid);
	d.slow_cpu_check = hv_caps(g->r->h)->slow_cpu_check;
	d.n_nics = 1;
	domain_mac(g->uuid, 0, d.nics[0].mac);
	assert_int_equal(domain_xml(&d, &xml, &e), 0);
	assert_int_equal(run(g->r, do_define, xml), 0);
}

static void wait_ready(struct guest *g)
{
	for (int64_t end = clock_mono_ms() + DEADLINE_MS; clock_mono_ms() < end;
	     turn_for(g->r, 10)) {
		auto_free char *text = NULL;
		struct err e;

		if (!file_read(g->log, 65536, &text, NULL, &e) && strstr(text, "BOOTSECTOR-READY"))
			return;
	}
	fail_msg("the guest did not report");
}

/* The process whose command line names the domain; 0: none. */
static pid_t qemu_of(const struct guest *g)
{
	DIR *proc = opendir("/proc");
	pid_t found = 0;

	assert_non_null(proc);
	for (struct dirent *d; !found && (d = readdir(proc));) {
		auto_free char *path = xasprintf("/proc/%s/cmdline", d->d_name), *text = NULL;
		size_t n = 0;
		struct err e;

		if (d->d_name[0] < '1' || d->d_name[0] > '9' ||
		    file_read(path, 65536, &text, &n, &e) || !n)
			continue;
		if (strstr(text, "qemu-system") && memmem(text, n, g->uuid, UUID_TEXT - 1))
			found = (pid_t)strtol(d->d_name, NULL, 10);
	}
	closedir(proc);
	return found;
}

static struct rig *real;

static int real_up(void **st)
{
	const char *uri = getenv("TEEPOD_TEST_URI");

	(void)st;
	real = rig_up(uri ? uri : "qemu:///embed");
	build_boot_sector(real->dir);
	return 0;
}

static int real_down(void **st)
{
	(void)st;
	if (real)
		rig_free(real);
	return 0;
}

static struct guest running_guest(void)
{
	struct guest g = { .r = real };

	guest_define(&g);
	assert_int_equal(run(real, do_start, g.uuid), 0);
	return g;
}

static void remove_guest(struct guest *g)
{
	assert_int_equal(run(real, do_destroy, g->uuid), 0);
	assert_int_equal(run(real, do_undefine, g->uuid), 0);
	assert_int_equal(qemu_of(g), 0);
}

static unsigned was_reported(const struct guest *g, enum domain_state s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < real->n; i++)
		n += !strcmp(real->events[i].uuid, g->uuid) && real->events[i].state == s;
	return n;
}

static void wait_reported(const struct guest *g, enum domain_state s)
{
	for (int64_t end = clock_mono_ms() + DEADLINE_MS;
	     clock_mono_ms() < end && !was_reported(g, s);)
		turn_for(real, 10);
	assert_true(was_reported(g, s));
}

static void the_host_is_described(void **st)
{
	const struct hv_caps *c = hv_caps(real->h);

	(void)st;
	assert_true(c->qemu[0] != '\0' && c->libvirt[0] != '\0');
	assert_int_equal(access(c->emulator, X_OK), 0);
	assert_true(c->tdx || c->tdx_reason[0]);
}

/* The pid that a pidfd stands for. */
static pid_t pid_of(int pidfd)
{
	auto_free char *path = xasprintf("/proc/self/fdinfo/%d", pidfd);
	auto_free char *text = NULL;
	const char *line;
	struct err e;

	assert_int_equal(file_read(path, 4096, &text, NULL, &e), 0);
	line = strstr(text, "Pid:");
	assert_non_null(line);
	return (pid_t)strtol(line + 4, NULL, 10);
}

static void check_pidfd(const struct guest *g)
{
	auto_free char *name = xasprintf("teepod-%.8s", g->uuid);
	int fd = hv_qemu_pidfd(real->h, name);

	/* The folder of another driver may not be readable. */
	if (getenv("TEEPOD_TEST_URI"))
		return;
	assert_true(fd >= 0);
	assert_int_equal(pid_of(fd), qemu_of(g));
	close(fd);
}

static void the_start_and_the_end_of_a_guest_are_reported(void **st)
{
	struct guest g = running_guest();

	(void)st;
	wait_ready(&g);
	assert_int_equal(state(real, g.uuid), DOMAIN_RUNNING);
	assert_true(listed(real, g.uuid));
	check_pidfd(&g);
	assert_int_equal(run(real, do_destroy, g.uuid), 0);
	assert_int_equal(state(real, g.uuid), DOMAIN_OFF);
	wait_reported(&g, DOMAIN_RUNNING);
	wait_reported(&g, DOMAIN_OFF);
	remove_guest(&g);
	assert_false(listed(real, g.uuid));
	real->n = 0;
}

/* As while libvirt ends a domain, when it has killed QEMU and releases its lock. */
static void a_domain_that_runs_without_a_qemu_is_ending_and_does_not_start(void **st)
{
	struct guest g = running_guest();
	auto_free char *path = xasprintf("%s/run/qemu/teepod-%.8s.pid", real->dir, g.uuid);
	auto_free char *aside = xasprintf("%s.aside", path);
	struct err e;

	(void)st;
	if (getenv("TEEPOD_TEST_URI")) { /* the folder of another driver */
		remove_guest(&g);
		skip();
	}
	assert_int_equal(rename(path, aside), 0);
	assert_int_equal(file_write(path, "1", 1, 0644, &e), 0);
	assert_int_equal(state(real, g.uuid), DOMAIN_ENDING);
	assert_int_equal(listed_state(real, g.uuid), DOMAIN_ENDING);
	assert_int_equal(run(real, do_start, g.uuid), -ERR_UNAVAILABLE);
	assert_int_equal(rename(aside, path), 0);
	assert_int_equal(state(real, g.uuid), DOMAIN_RUNNING);
	assert_int_equal(listed_state(real, g.uuid), DOMAIN_RUNNING);
	assert_int_equal(run(real, do_start, g.uuid), 0);
	remove_guest(&g);
}

static void a_repeated_call_succeeds(void **st)
{
	struct guest g = running_guest();

	(void)st;
	assert_int_equal(run(real, do_start, g.uuid), 0);
	assert_int_equal(run(real, do_destroy, g.uuid), 0);
	assert_int_equal(run(real, do_destroy, g.uuid), 0);
	assert_int_equal(run(real, do_undefine, g.uuid), 0);
	assert_int_equal(run(real, do_undefine, g.uuid), 0);
	assert_int_equal(run(real, do_destroy, g.uuid), 0);
	assert_int_equal(run(real, do_start, g.uuid), -ERR_NOT_FOUND);
	assert_int_equal(state(real, NO_UUID), DOMAIN_ABSENT);
	real->n = 0;
}

static void the_button_needs_a_running_guest(void **st)
{
	struct guest g = running_guest();

	(void)st;
	assert_int_equal(run(real, do_button, g.uuid), 0);
	assert_int_equal(run(real, do_destroy, g.uuid), 0);
	assert_int_equal(run(real, do_button, g.uuid), -ERR_NOT_FOUND);
	remove_guest(&g);
	real->n = 0;
}

static void a_killed_qemu_is_a_crash(void **st)
{
	struct guest g = running_guest();

	(void)st;
	assert_int_equal(kill(qemu_of(&g), SIGKILL), 0);
	wait_reported(&g, DOMAIN_CRASHED);
	assert_int_equal(state(real, g.uuid), DOMAIN_CRASHED);
	remove_guest(&g);
	real->n = 0;
}

/* Bound and listening; *port is what the kernel chose. */
static int take_port(bool udp, uint16_t *port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(a);
	int fd = socket(AF_INET, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
	if (!udp)
		assert_int_equal(listen(fd, 1), 0);
	*port = ntohs(a.sin_port);
	return fd;
}

static void ports_are_forwarded_once_and_given_back(void **st)
{
	struct guest g = running_guest();

	(void)st;
	for (int udp = 0; udp <= 1; udp++) {
		uint16_t port, taken;
		int fd;

		close(take_port(udp, &port));
		fd = take_port(udp, &taken);
		assert_int_equal(forward_at(real, do_forward, g.uuid, udp, port, 80), 0);
		assert_int_equal(forward_at(real, do_forward, g.uuid, udp, port, 80), 0);
		assert_int_equal(forward_at(real, do_forward, g.uuid, udp, port, 81), -ERR_IN_USE);
		assert_int_equal(forward_at(real, do_forward, g.uuid, udp, taken, 80), -ERR_IN_USE);
		assert_int_equal(forward_at(real, do_unforward, g.uuid, udp, port, 0), 0);
		assert_int_equal(forward_at(real, do_unforward, g.uuid, udp, port, 0), 0);
		assert_int_equal(forward_at(real, do_forward, g.uuid, udp, port, 81), 0);
		close(fd);
	}
	assert_int_equal(run(real, do_destroy, g.uuid), 0);
	assert_int_equal(forward_at(real, do_unforward, g.uuid, false, 9, 0), 0);
	assert_int_equal(forward_at(real, do_forward, g.uuid, false, 9, 80), -ERR_NOT_FOUND);
	remove_guest(&g);
	real->n = 0;
}

static void an_address_can_not_carry_a_command(void **st)
{
	struct call c = { .fn = do_forward,
			  .text = NO_UUID,
			  .address = "127.0.0.1:1-:1\nquit",
			  .port = 1,
			  .to = 1 };

	(void)st;
	call(real, &c);
	assert_int_equal(c.r, -ERR_INVALID);
}

static void a_hung_qemu_delays_only_calls_to_itself(void **st)
{
	struct guest hung = running_guest(), fine = running_guest();
	struct call forward = {
		.fn = do_forward, .text = hung.uuid, .address = "127.0.0.1", .to = 80
	};
	pid_t pid = qemu_of(&hung);
	int64_t begun;

	(void)st;
	close(take_port(false, &forward.port));
	assert_int_equal(kill(pid, SIGSTOP), 0);
	begin(real, &forward);
	turn_for(real, 100);
	begun = clock_mono_ms();
	assert_true(listed(real, hung.uuid));
	assert_int_equal(state(real, hung.uuid), DOMAIN_RUNNING);
	assert_int_equal(state(real, fine.uuid), DOMAIN_RUNNING);
	assert_in_range(clock_mono_ms() - begun, 0, 1000);
	remove_guest(&fine);
	assert_int_equal(forward.done, 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	turn_until(real, &forward.done, 1);
	assert_int_equal(forward.r, 0);
	remove_guest(&hung);
	real->n = 0;
}

/* Nobody may collect what libvirt waits for: every one of these would fail. And the ended ones are
 * collected at once. */
static void ended_guests_are_collected_while_libvirt_keeps_its_children(void **st)
{
	struct guest g = { .r = real };
	int64_t slowest = 0;

	(void)st;
	guest_define(&g);
	for (int i = 0; i < (getenv("TEEPOD_TEST_ROUNDS") ? atoi(getenv("TEEPOD_TEST_ROUNDS")) : 8);
	     i++) {
		struct call up = { .fn = do_start, .text = g.uuid },
			    down = { .fn = do_destroy, .text = g.uuid };

		call(real, &up);
		assert_int_equal(up.r, 0);
		call(real, &down);
		assert_int_equal(down.r, 0);
		if (down.us > slowest)
			slowest = down.us;
		if (getenv("TEEPOD_TEST_ROUNDS"))
			print_message("start %lld us, destroy %lld us\n", (long long)up.us,
				      (long long)down.us);
		real->n = 0;
	}
	if (!getenv("TEEPOD_TEST_URI"))
		assert_in_range(slowest, 0, 1200000);
	remove_guest(&g);
}

static void the_error_line_of_qemu_is_found(void **st)
{
	struct guest g = running_guest();
	char name[32], path[256];
	struct err e;

	(void)st;
	(void)snprintf(name, sizeof(name), "teepod-%.8s", g.uuid);
	assert_int_equal(hv_qemu_log_path(real->h, name, path, sizeof(path), &e), 0);
	assert_int_equal(access(path, R_OK), 0);
	assert_int_equal(hv_qemu_log_path(real->h, name, path, 10, &e), -ERR_INVALID);
	remove_guest(&g);
	real->n = 0;
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(each_change_of_a_domain_is_reported_in_order),
		cmocka_unit_test(foreign_domains_are_not_listed),
		cmocka_unit_test(errors_carry_libvirts_text_and_nothing_is_printed),
		cmocka_unit_test(a_driver_without_tdx_reports_that),
		cmocka_unit_test(closing_while_connecting_is_clean),
		cmocka_unit_test(a_missing_daemon_is_reported_once_and_tried_again),
		cmocka_unit_test(a_folder_too_long_for_sockets_is_refused_for_good),
		cmocka_unit_test(run_files_of_another_boot_are_forgotten_and_of_this_one_kept),
		cmocka_unit_test(run_files_in_a_copy_of_a_root_are_forgotten),
		cmocka_unit_test(a_domain_whose_qemu_was_never_executed_is_forgotten),
		cmocka_unit_test(the_qemu_of_a_domain_is_the_process_that_locks_its_pid_file),
		cmocka_unit_test(a_folder_open_in_another_process_is_worth_waiting_for),
	};
	const struct CMUnitTest with_qemu[] = {
		cmocka_unit_test(the_host_is_described),
		cmocka_unit_test(the_start_and_the_end_of_a_guest_are_reported),
		cmocka_unit_test(a_domain_that_runs_without_a_qemu_is_ending_and_does_not_start),
		cmocka_unit_test(a_repeated_call_succeeds),
		cmocka_unit_test(the_button_needs_a_running_guest),
		cmocka_unit_test(a_killed_qemu_is_a_crash),
		cmocka_unit_test(ports_are_forwarded_once_and_given_back),
		cmocka_unit_test(an_address_can_not_carry_a_command),
		cmocka_unit_test(a_hung_qemu_delays_only_calls_to_itself),
		cmocka_unit_test(ended_guests_are_collected_while_libvirt_keeps_its_children),
		cmocka_unit_test(the_error_line_of_qemu_is_found),
	};
	int failed;

	loop_reserve_fds();
	failed = cmocka_run_group_tests_name("hypervisor", t, NULL, NULL);
	return failed +
	       cmocka_run_group_tests_name("hypervisor with QEMU", with_qemu, real_up, real_down);
}
