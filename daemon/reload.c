/* SPDX-License-Identifier: Apache-2.0
 * reload.c - read the configuration and the certificates in a job, off the loop.
 *
 * A file may be a FIFO, or be on a file system that does not respond, so reading must not block the
 * loop. One job runs at a time. A SIGHUP during a job starts another one after it, which sees what
 * was written since the first began. A job past its deadline is abandoned: its result is discarded
 * and the next SIGHUP starts a new job. main.c applies the result.
 */
#include "daemon/reload.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/lanes.h"
#include "base/loop.h"
#include "daemon/config.h"
#include "daemon/config_check.h"
#include "daemon/notify.h"

enum { READ_MS = 30000 };

struct reload_job {
	struct reload *reload; /* NULL: abandoned */
	const struct options *options;
	const struct config *running;
	struct reload_result result;
};

static void reload_work(void *arg)
{
	struct reload_job *g = arg;
	const struct config_api *a = &g->running->api;
	struct reload_result *f = &g->result;

	if (!config_load(g->options, &f->config, &f->errors))
		config_check_dates(f->config, &f->warnings);
	/* Certificates are read even if the configuration has errors. */
	if (*a->tls_cert)
		(void)tls_context(a->tls_cert, a->tls_key, set_or_null(a->tls_client_ca),
				  a->tls_client == TLS_CLIENT_REQUIRED, &f->tls, &f->tls_err);
}

static void reload_job_free(struct reload_job *g)
{
	config_free(g->result.config);
	buf_free(&g->result.errors);
	buf_free(&g->result.warnings);
	SSL_CTX_free(g->result.tls);
	free(g);
}

static void reload_begin(struct reload *r);

static void reload_finish(struct reload *r, struct reload_result *f)
{
	assert_loop_thread();
	assert(r->now);
	r->now = NULL;
	r->on_done(r->arg, f);
	if (r->again)
		reload_begin(r);
}

static void reload_done(void *arg, enum job_end end)
{
	struct reload_job *g = arg;

	if (end == JOB_DROPPED)
		buf_puts(&g->result.errors, "no thread was free to read the files\n");
	if (g->reload)
		reload_finish(g->reload, &g->result);
	reload_job_free(g);
}

static void reload_late(void *arg)
{
	struct reload_job *g = arg;
	struct reload_result none = { 0 };

	assert(g->reload && g->reload->now == g);
	buf_printf(&none.errors, "reading the files has taken %d s\n", READ_MS / 1000);
	reload_finish(g->reload, &none);
	g->reload = NULL;
	buf_free(&none.errors);
}

static void reload_begin(struct reload *r)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "read the configuration",
						.deadline_ms = READ_MS,
						.work = reload_work,
						.done = reload_done,
						.late = reload_late };
	struct reload_job *g = xcalloc(1, sizeof(*g));

	assert(!r->now);
	*g = (struct reload_job){ .reload = r, .options = r->options, .running = r->running };
	r->again = false;
	r->now = g;
	notify_reloading();
	(void)job_start(r->loop, &calls, g);
}

void reload_request(struct reload *r)
{
	assert_loop_thread();
	if (r->now)
		r->again = true;
	else
		reload_begin(r);
}
