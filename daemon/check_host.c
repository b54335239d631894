/* SPDX-License-Identifier: Apache-2.0
 * check_host.c - inspect the host, query libvirt's capabilities, print the table.
 *
 * qemu:///embed is opened with a temporary root folder, which is removed afterwards. The configured
 * root may be in use by a running daemon, and opening it would take over, or mark as dead, the
 * guests recorded there. QEMU's capabilities do not depend on the root. See host_table.c for the
 * table and vmm/host/host_check.h for the checks.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <uv.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/loop.h"
#include "base/utf8.h"
#include "daemon/actions.h"
#include "daemon/check_host.h"
#include "daemon/host_table.h"
#include "daemon/config_settings.h"
#include "vmm/host/host_facts.h"
#include "vmm/node/settings.h"
#include "vmm/virt/embed_root.h"
#include "vmm/virt/hypervisor.h"

/* The first time libvirt's QEMU driver is opened, it probes QEMU: 0.6 s, up to ten times that under
 * load. */
enum { ANSWER_MS = 30000, CLOSE_MS = 30000 };

struct host_query {
	uv_loop_t loop;
	uv_signal_t signals[3];
	struct hypervisor *hv;
	struct loop_timer *timer;
	char root[EMBED_ROOT_MAX + 1]; /* temporary, of the embedded driver; "" for other URIs */
	bool over, closed, hangs;
	int signum; /* signal that ended the query, or 0 */
	struct hv_caps caps;
	bool answered; /* @caps is valid; otherwise @error has the reason */
	char error[400];
};

static void query_ignore_event(void *arg, const struct hv_event *ev)
{
	(void)arg;
	(void)ev;
}

static void query_on_link(void *arg, bool up, const struct err *e)
{
	struct host_query *q = arg;

	if (q->over)
		return;
	q->over = true;
	q->answered = up;
	if (up)
		q->caps = *hv_caps(q->hv);
	else
		(void)snprintf(q->error, sizeof(q->error), "%.199s%s%.160s", e->text,
			       *e->hint ? "; " : "", e->hint);
}

static void query_on_late(void *arg)
{
	struct host_query *q = arg;

	q->over = true;
	(void)snprintf(q->error, sizeof(q->error), "libvirt did not respond within %d s",
		       ANSWER_MS / 1000);
}

static void query_remove_root(const struct host_query *q)
{
	struct err e;

	if (*q->root && file_remove_tree(q->root, &e))
		(void)action_failed("%s", e.text);
}

/* Wait for libvirt before exiting: exiting while it probes QEMU would leave that QEMU running. */
static void query_on_signal(uv_signal_t *s, int signum)
{
	struct host_query *q = s->data;

	q->over = true;
	q->signum = signum;
}

static void query_set_flag(void *arg)
{
	*(bool *)arg = true;
}

/* Create the temporary root in $TMPDIR, or in /tmp if the socket paths below it would be too long.
 */
static int query_make_root(struct host_query *q, struct err *e)
{
	static const char name[] = "teepod-check-XXXXXX";
	const char *tmp = getenv("TMPDIR");

	if (!tmp || *tmp != '/' || strlen(tmp) + 1 + strlen(name) > EMBED_ROOT_MAX)
		tmp = "/tmp";
	(void)snprintf(q->root, sizeof(q->root), "%s/%s", tmp, name);
	if (mkdtemp(q->root))
		return 0;
	q->root[0] = '\0';
	return err_sys(e, errno, "create a temporary folder in %s", tmp);
}

static void query_open_handles(struct host_query *q)
{
	static const int numbers[ARRAY_SIZE(q->signals)] = { SIGHUP, SIGINT, SIGTERM };

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		(void)uv_signal_init(&q->loop, &q->signals[i]);
		q->signals[i].data = q;
		(void)uv_signal_start(&q->signals[i], query_on_signal, numbers[i]);
	}
	(void)loop_after(&q->loop, ANSWER_MS, query_on_late, q, &q->timer);
}

static int query_open_hypervisor(struct host_query *q, const struct vmm_settings *s, struct err *e)
{
	bool embedded = !strncmp(s->hypervisor_uri, "qemu:///embed", 13);
	struct hv_config cfg = { .loop = &q->loop,
				 .uri = s->hypervisor_uri,
				 .emulator = s->emulator,
				 .on_event = query_ignore_event,
				 .on_link = query_on_link,
				 .arg = q };

	if (embedded) {
		int r = query_make_root(q, e);

		if (r)
			return r;
		cfg.uri = "qemu:///embed";
		cfg.embed_root = q->root;
	}
	return hv_new(&cfg, &q->hv, e);
}

static void query_close(struct host_query *q)
{
	loop_after_cancel(&q->timer);
	if (q->hv) {
		(void)loop_after(&q->loop, CLOSE_MS, query_set_flag, &q->hangs, &q->timer);
		hv_close(q->hv, query_set_flag, &q->closed);
		while (!q->closed && !q->hangs)
			(void)uv_run(&q->loop, UV_RUN_ONCE);
		loop_after_cancel(&q->timer);
	}
	query_remove_root(q);
	if (q->hangs)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(q->signals); i++)
		uv_close((uv_handle_t *)&q->signals[i], NULL);
	(void)uv_run(&q->loop, UV_RUN_DEFAULT);
	(void)uv_loop_close(&q->loop);
}

/* Query libvirt. The result is q->caps if q->answered, otherwise q->error. */
static void query_run(struct host_query *q, const struct vmm_settings *s)
{
	struct err e;

	loop_reserve_fds();
	if (uv_loop_init(&q->loop)) {
		(void)snprintf(q->error, sizeof(q->error), "cannot create the event loop");
		return;
	}
	query_open_handles(q);
	if (query_open_hypervisor(q, s, &e)) {
		q->over = true;
		(void)snprintf(q->error, sizeof(q->error), "%s", e.text);
	}
	while (!q->over)
		(void)uv_run(&q->loop, UV_RUN_ONCE);
	query_close(q);
}

static unsigned check_host_width(void)
{
	struct winsize w;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) || !w.ws_col ? HOST_TABLE_WIDTH : w.ws_col;
}

/* If a libvirt call hangs, exit() would wait for its thread; _exit() does not. */
static int check_host_exit(const struct host_query *q, int status)
{
	if (q->hangs)
		_exit(status);
	return status;
}

static int check_host_print(const struct host_check rows[HOST_CHECKS])
{
	auto_buf struct buf out = { 0 };

	host_table(rows, check_host_width(), &out);
	if (utf8_print(stdout, out.data) == EOF || fflush(stdout) == EOF)
		return EXIT_FAILURE;
	return host_verdict(rows).missing ? EXIT_FAILURE : EXIT_SUCCESS;
}

int check_host_run(const struct config *c)
{
	const struct host_size unmeasured = { 0 };
	static struct host_query q;
	struct host_check rows[HOST_CHECKS];
	struct host_facts facts;
	struct vmm_settings s;

	settings_make(c, &unmeasured, &s);
	host_facts_read(&(struct host_facts_source){ .root = s.host_root,
						     .qgs_socket = s.qgs_socket,
						     .tdx_firmware = s.tdx_firmware },
			&facts);
	query_run(&q, &s);
	host_check(&(struct host_check_input){ .facts = &facts,
					       .caps = q.answered ? &q.caps : NULL,
					       .link_error = q.answered ? NULL : q.error,
					       .uri = s.hypervisor_uri,
					       .device_id = s.device_id,
					       .slots = s.slots },
		   rows);
	host_facts_free(&facts);
	settings_free(&s);
	return check_host_exit(&q, q.signum ? 128 + q.signum : check_host_print(rows));
}
