/* SPDX-License-Identifier: Apache-2.0
 * hypervisor.c - the connection to libvirt: opened by a job, watched, and opened again when lost.
 *
 * DOC: Theory of operation
 *
 *	CONNECTING --job--> UP --lost--> (closed by a job) WAITING --back-off--> CONNECTING
 *	     \--failed--> WAITING
 *
 * Everything that may block runs in jobs. The loop thread owns the state machine. The mutex guards
 * what other threads use: the connection, the number of leases, and what libvirt's callbacks
 * reported. A job has a reference of its own, so a lost connection is closed when the last job has
 * got its error.
 *
 * qemu:///embed runs in this process and cannot be lost. libvirt initialises its driver at the
 * first open, keeps a failure for ever ("qemu state driver is not active"), and has a fixed number
 * of places for drivers, of which each open takes one. So a root that another process holds is
 * waited for before the first open, and a failed open is final.
 *
 * A connection to a daemon can in effect carry one call at a time. libvirt's client lets the first
 * caller read for all others. With 9.0 a second caller gets its turn only at the keepalive, after
 * five seconds, while the first one waits for a hung QEMU (also with libvirt's own event loop). The
 * daemon also admits only five requests per connection. So each job has a connection of its own
 * (hv_lease.c), and the first connection only watches. A few are kept open for the next jobs. All
 * have keepalive: if libvirtd does not answer for about 20 s, the connection and its call end. Only
 * the opening of a connection has no keepalive, so an attempt to connect may hang as long as
 * libvirtd does. It is reported, and no second attempt is made beside it.
 *
 * Events report the end of a guest. Events that arrive before on_link(up) are dropped: the consumer
 * lists all domains after it.
 *
 * A job that was abandoned may use a connection for ever. hv_close() waits for it for CLOSE_MS,
 * then closes the handles and leaves the memory to the job.
 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libvirt/virterror.h>
#include <libxml/uri.h>

#include "base/alloc.h"
#include "base/lag.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/virt/embed_root.h"
#include "vmm/virt/host_caps.h"
#include "vmm/virt/hv_lease.h"
#include "vmm/virt/hypervisor.h"
#include "vmm/virt/hypervisor_context.h"
#include "vmm/virt/reaper.h"
#include "vmm/virt/virt_error.h"
#include "vmm/virt/virt_events.h"

enum { RETRY_MS = 200, RETRY_MAX_MS = 30000 };
enum { CONNECT_MS = 30000, DROP_MS = 30000, CLOSE_MS = 3000 };

/* One attempt to connect, or the end of a connection. */
struct attempt {
	struct hypervisor *h;
	virConnectPtr conn;
	int callback; /* lifecycle events; -1: none */
	virConnectPtr spare[HV_SPARES];
	unsigned spares;
	struct hv_caps caps;
	bool final; /* trying again would be useless */
	struct err e;
};

static void connect_start(struct hypervisor *h);
static void hypervisor_finish_if_idle(struct hypervisor *h);

/* ------------------------------------------------------------------ callbacks of libvirt, any
 * thread */

/* False for events that do not determine a state: DEFINED and UNDEFINED also come for running
 * domains, and SHUTDOWN comes before the end. */
static bool domain_state_of_event(int event, int detail, enum domain_state *ret)
{
	switch (event) {
	case VIR_DOMAIN_EVENT_STARTED:
	case VIR_DOMAIN_EVENT_RESUMED:
		*ret = DOMAIN_RUNNING;
		return true;
	case VIR_DOMAIN_EVENT_SUSPENDED:
		*ret = detail == VIR_DOMAIN_EVENT_SUSPENDED_IOERROR ? DOMAIN_PAUSED_IO
								    : DOMAIN_PAUSED;
		return true;
	case VIR_DOMAIN_EVENT_STOPPED:
		*ret = detail == VIR_DOMAIN_EVENT_STOPPED_CRASHED ||
				       detail == VIR_DOMAIN_EVENT_STOPPED_FAILED
			       ? DOMAIN_CRASHED
			       : DOMAIN_OFF;
		return true;
	case VIR_DOMAIN_EVENT_CRASHED:
		*ret = DOMAIN_CRASHED;
		return true;
	default:
		return false;
	}
}

static int on_domain_lifecycle(virConnectPtr conn, virDomainPtr dom, int event, int detail,
			       void *opaque)
{
	struct hypervisor *h = opaque;
	struct queued *q;
	enum domain_state state;

	(void)conn;
	if (!domain_state_of_event(event, detail, &state))
		return 0;
	q = xcalloc(1, sizeof(*q));
	q->ev.state = state;
	if (virDomainGetUUIDString(dom, q->ev.uuid)) {
		free(q);
		return 0;
	}
	hypervisor_lock(h);
	*h->last = q;
	h->last = &q->next;
	hypervisor_wake(h);
	hypervisor_unlock(h);
	return 0;
}

static void on_connection_lost(virConnectPtr conn, int reason, void *opaque)
{
	struct hypervisor *h = opaque;

	(void)conn;
	if (reason == VIR_CONNECT_CLOSE_REASON_CLIENT)
		return;
	hypervisor_lock(h);
	h->lost = true;
	hypervisor_wake(h);
	hypervisor_unlock(h);
}

/* ------------------------------------------------------------------ jobs */

/* The callbacks must be removed first: otherwise virConnectClose() keeps the connection. */
static void close_watched_connection(virConnectPtr conn, int callback)
{
	if (callback >= 0)
		(void)virConnectDomainEventDeregisterAny(conn, callback);
	(void)virConnectUnregisterCloseCallback(conn, on_connection_lost);
	(void)virConnectClose(conn);
}

static char *embed_uri(const char *root)
{
	xmlChar *escaped = xmlURIEscapeStr((const xmlChar *)root, (const xmlChar *)"/");
	char *uri = xasprintf("qemu:///embed?root=%s", (const char *)escaped);

	xmlFree(escaped);
	return uri;
}

static int open_connection(struct attempt *a)
{
	struct hypervisor *h = a->h;
	auto_free char *uri = h->embed_root ? embed_uri(h->embed_root) : xstrdup(h->uri);
	int r;

	if (h->embed_root) {
		r = embed_root_prepare(h->embed_root, &a->e);
		a->final = r && r != -ERR_UNAVAILABLE;
		if (r)
			return r;
	}
	a->conn = hv_connect(uri);
	if (a->conn)
		return 0;
	r = virt_err(&a->e, "connect to the hypervisor");
	a->final = h->embed_root != NULL;
	if (strstr(a->e.text, "Failed to parse user") || strstr(a->e.text, "Failed to parse group"))
		err_hint(&a->e, "create it: groupadd -r libvirt-qemu; useradd -r -g libvirt-qemu "
				"-d /var/lib/libvirt "
				"-s /usr/sbin/nologin libvirt-qemu");
	else if (strstr(a->e.text, "Failed to connect socket") &&
		 strstr(a->e.text, "Permission denied"))
		err_hint(&a->e, "let the daemon's user use libvirt: usermod -aG libvirt teepod "
				"(the group of that "
				"socket), then restart teepod");
	else if (strstr(a->e.text, "org.libvirt.unix.manage") ||
		 strstr(a->e.text, "authentication failed"))
		err_hint(&a->e,
			 "let the daemon's user use libvirt by a polkit rule: see teepod.rules");
	else if (strstr(a->e.text, "Failed to connect socket"))
		err_hint(&a->e, "is libvirtd installed (libvirt-daemon-system) and running?");
	return r;
}

static int watch_connection(struct attempt *a)
{
	/* Fails for local drivers, which cannot be lost. */
	(void)virConnectRegisterCloseCallback(a->conn, on_connection_lost, a->h, NULL);
	int callback = virConnectDomainEventRegisterAny(
		a->conn, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
		VIR_DOMAIN_EVENT_CALLBACK(on_domain_lifecycle), a->h, NULL);
	return callback < 0 ? virt_err(&a->e, "watch domains") : callback;
}

static void connect_work(void *arg)
{
	struct attempt *a = arg;
	int callback;

	if (open_connection(a))
		return;
	callback = watch_connection(a);
	if (callback >= 0 &&
	    !host_caps_probe(a->conn, a->h->emulator, a->h->embed_root != NULL, &a->caps, &a->e)) {
		a->callback = callback;
		return;
	}
	close_watched_connection(a->conn, callback);
	a->conn = NULL;
	a->final = a->h->embed_root != NULL;
}

static void drop_connection_work(void *arg)
{
	struct attempt *a = arg;

	while (a->spares)
		(void)virConnectClose(a->spare[--a->spares]);
	close_watched_connection(a->conn, a->callback);
}

/* ------------------------------------------------------------------ loop thread: the state machine
 */

static struct attempt *attempt_new(struct hypervisor *h)
{
	struct attempt *a = xcalloc(1, sizeof(*a));

	a->h = h;
	a->callback = -1;
	h->jobs++;
	return a;
}

static void attempt_free(struct attempt *a)
{
	struct hypervisor *h = a->h;

	assert(h->jobs);
	free(a);
	h->jobs--;
	hypervisor_finish_if_idle(h);
}

static void drop_connection_done(void *arg, enum job_end end)
{
	(void)end; /* if the job was dropped, the connection ends with the process */
	attempt_free(arg);
}

static void drop_connection(struct hypervisor *h)
{
	static const struct job_calls calls = { .lane = LANE_KILL,
						.what = "close the connection to libvirt",
						.deadline_ms = DROP_MS,
						.work = drop_connection_work,
						.done = drop_connection_done };
	struct attempt *a = attempt_new(h);

	hypervisor_lock(h);
	a->conn = h->conn;
	h->conn = NULL;
	memcpy(a->spare, h->spare, sizeof(a->spare));
	a->spares = h->spares;
	h->spares = 0;
	h->generation++;
	hypervisor_unlock(h);
	a->callback = h->callback;
	(void)job_start(h->loop, &calls, a);
}

static void reconnect_now(void *arg)
{
	connect_start(arg);
}

static void reconnect_later(struct hypervisor *h)
{
	h->link = LINK_WAITING;
	loop_after(h->loop, h->retry_ms, reconnect_now, h, &h->retry);
	h->retry_ms = h->retry_ms * 2 < RETRY_MAX_MS ? h->retry_ms * 2 : RETRY_MAX_MS;
}

/* Report a failure once, not at every attempt. */
static void report_link_failure(struct hypervisor *h, const struct err *e)
{
	if (!strcmp(h->last_failure, e->text))
		return;
	(void)snprintf(h->last_failure, sizeof(h->last_failure), "%s", e->text);
	h->on_link(h->arg, false, e);
}

static void check_connection_lost(struct hypervisor *h)
{
	struct err e;

	hypervisor_lock(h);
	bool lost = h->lost;
	hypervisor_unlock(h);
	if (!lost || h->link != LINK_UP || h->closing)
		return;
	drop_connection(h);
	reconnect_later(h);
	err_set(&e, ERR_UNAVAILABLE, "connection to the hypervisor is lost");
	report_link_failure(h, &e);
}

/* The attempt is past its deadline. It continues, and its result will be used. */
static void connect_late(void *arg)
{
	struct attempt *a = arg;
	struct err e;

	err_set(&e, ERR_UNAVAILABLE,
		"connect to the hypervisor: libvirt did not answer within %d s", CONNECT_MS / 1000);
	if (!a->h->closing)
		report_link_failure(a->h, &e);
}

static void connect_done(void *arg, enum job_end end)
{
	struct attempt *a = arg;
	struct hypervisor *h = a->h;

	if (end == JOB_DROPPED)
		err_set(&a->e, ERR_UNAVAILABLE, "connect to the hypervisor: no thread was free");
	if (a->conn) {
		h->link = LINK_UP;
		h->caps = a->caps;
		h->caps_known = true;
		h->callback = a->callback;
		h->retry_ms = RETRY_MS;
		h->last_failure[0] = '\0';
		hypervisor_lock(h);
		h->conn = a->conn;
		hypervisor_unlock(h);
		if (!h->closing)
			h->on_link(h->arg, true, NULL);
	} else if (!h->closing) {
		if (a->final)
			h->link = LINK_FAILED;
		else
			reconnect_later(h);
		report_link_failure(h, &a->e);
	}
	check_connection_lost(h);
	attempt_free(a);
}

static void connect_start(struct hypervisor *h)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "connect to libvirt",
						.deadline_ms = CONNECT_MS,
						.work = connect_work,
						.done = connect_done,
						.late = connect_late };
	struct attempt *a = attempt_new(h);

	assert(!h->closing && h->link != LINK_UP);
	h->link = LINK_CONNECTING;
	hypervisor_lock(h);
	h->lost = false;
	hypervisor_unlock(h);
	(void)job_start(h->loop, &calls, a);
}

static struct queued *take_domain_events(struct hypervisor *h)
{
	hypervisor_lock(h);
	struct queued *q = h->events;
	h->events = NULL;
	h->last = &h->events;
	hypervisor_unlock(h);
	return q;
}

static void deliver_domain_events(struct hypervisor *h)
{
	for (struct queued *q = take_domain_events(h), *next; q; q = next) {
		next = q->next;
		if (h->link == LINK_UP && !h->closing)
			h->on_event(h->arg, &q->ev);
		free(q);
	}
}

static void hypervisor_on_wake(uv_async_t *a)
{
	struct hypervisor *h = a->data;

	LAG_SECTION("hypervisor", "events");
	deliver_domain_events(h);
	check_connection_lost(h);
	hypervisor_finish_if_idle(h);
}

bool hv_ready(const struct hypervisor *h)
{
	return h->link == LINK_UP;
}

const struct hv_caps *hv_caps(const struct hypervisor *h)
{
	return h->caps_known ? &h->caps : NULL;
}

/* ------------------------------------------------------------------ from new to closed */

static void hypervisor_free(struct hypervisor *h)
{
	(void)pthread_mutex_destroy(&h->lock);
	free(h->uri);
	free(h->embed_root);
	free(h->emulator);
	free(h);
}

static void hypervisor_part_closed(void *arg)
{
	struct hypervisor *h = arg;
	void (*done)(void *arg) = h->done;
	void *done_arg = h->done_arg;

	assert(h->closing && h->handles);
	if (--h->handles)
		return;
	for (struct queued *q = take_domain_events(h), *next; q; q = next) {
		next = q->next;
		free(q);
	}
	if (!h->abandoned)
		hypervisor_free(h);
	if (done)
		done(done_arg);
}

static void hypervisor_wake_closed(uv_handle_t *a)
{
	hypervisor_part_closed(a->data);
}

static void hypervisor_close_handles(struct hypervisor *h)
{
	assert(h->closing && !h->finishing);
	h->finishing = true;
	loop_after_cancel(&h->limit);
	hypervisor_lock(h);
	h->closed = true;
	hypervisor_unlock(h);
	h->handles = 2 + (h->reaper != NULL);
	uv_close((uv_handle_t *)&h->wake, hypervisor_wake_closed);
	if (h->reaper)
		reaper_close(h->reaper, hypervisor_part_closed, h);
	virt_events_detach(hypervisor_part_closed, h);
}

/* Called whenever a job has ended. Closes the connection when no job uses it, and the handles when
 * the connection is closed. */
static void hypervisor_finish_if_idle(struct hypervisor *h)
{
	hypervisor_lock(h);
	bool held = h->leases > 0, connected = h->conn != NULL;
	hypervisor_unlock(h);
	if (!h->closing || h->finishing || held || h->jobs)
		return;
	if (connected)
		drop_connection(h);
	else
		hypervisor_close_handles(h);
}

static void hypervisor_close_late(void *arg)
{
	struct hypervisor *h = arg;

	log_warn("jobs still use the connection to libvirt; it is closed when the process ends");
	h->abandoned = true;
	hypervisor_close_handles(h);
}

void hv_close(struct hypervisor *h, void (*done)(void *arg), void *arg)
{
	assert_loop_thread();
	assert(!h->closing);
	h->closing = true;
	h->done = done;
	h->done_arg = arg;
	loop_after_cancel(&h->retry);
	(void)loop_after(h->loop, CLOSE_MS, hypervisor_close_late, h, &h->limit);
	(void)uv_async_send(&h->wake);
}

/* The root in the URI takes precedence over the configured one. */
static int embed_root_of(const struct hv_config *cfg, char **ret, struct err *e)
{
	const char *p = strstr(cfg->uri, "root=");
	auto_free char *raw = p ? xstrndup(p + 5, strcspn(p + 5, "&")) : NULL;

	if (raw) {
		char *s = xmlURIUnescapeString(raw, 0, NULL);

		*ret = xstrdup(s ? s : raw);
		xmlFree(s);
		return 0;
	}
	if (!cfg->embed_root)
		return err_set(e, ERR_INVALID, "hypervisor %s: the root folder is not configured",
			       cfg->uri);
	*ret = xstrdup(cfg->embed_root);
	return 0;
}

static void ignore_libvirt_error(void *arg, virErrorPtr v)
{
	(void)arg;
	(void)v;
}

/* Once per process. Errors are returned, not printed. Setting a filter also silences the log of the
 * embedded driver. */
static void libvirt_init(void)
{
	if (!getenv("LIBVIRT_DEBUG"))
		(void)setenv("LIBVIRT_LOG_OUTPUTS", "4:file:/dev/null", 0);
	(void)virInitialize();
	virSetErrorFunc(NULL, ignore_libvirt_error);
}

static int hypervisor_open_handles(struct hypervisor *h, struct err *e)
{
	int r;

	if (h->embed_root) {
		r = reaper_open(h->loop, &h->reaper, e);
		if (r)
			return r;
	}
	r = virt_events_attach(h->loop, e);
	if (!r) {
		r = uv_async_init(h->loop, &h->wake, hypervisor_on_wake);
		if (!r) {
			h->wake.data = h;
			return 0;
		}
		virt_events_detach(NULL, NULL);
		r = err_sys(e, -r, "hypervisor");
	}
	if (h->reaper)
		reaper_close(h->reaper, NULL, NULL);
	return r;
}

int hv_new(const struct hv_config *cfg, struct hypervisor **ret, struct err *e)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct hypervisor *h = xcalloc(1, sizeof(*h));
	int r = 0;

	assert_loop_thread();
	assert(cfg->on_event && cfg->on_link);
	h->loop = cfg->loop;
	h->uri = xstrdup(cfg->uri);
	h->emulator = cfg->emulator ? xstrdup(cfg->emulator) : NULL;
	h->on_event = cfg->on_event;
	h->on_link = cfg->on_link;
	h->arg = cfg->arg;
	h->retry_ms = RETRY_MS;
	h->last = &h->events;
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_once(&once, libvirt_init);
	if (!strncmp(cfg->uri, "qemu:///embed", 13))
		r = embed_root_of(cfg, &h->embed_root, e);
	h->remote = !h->embed_root && strncmp(cfg->uri, "test:", 5) != 0;
	if (!r)
		r = hypervisor_open_handles(h, e);
	if (r) {
		hypervisor_free(h);
		return r;
	}
	if (cfg->never)
		h->link = LINK_FAILED;
	else
		connect_start(h);
	*ret = h;
	return 0;
}
