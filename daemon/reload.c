/* SPDX-License-Identifier: Apache-2.0
 * reload.c - reads files in a job: one of them may be on a file system that does not answer, or a
 * FIFO.
 *
 * One reading at a time. A SIGHUP during it causes one more, which sees what was written after the
 * first had begun. A reading past its deadline is given up: what it finds later is thrown away,
 * and the next SIGHUP is not held up by it.
 */
#include "daemon/reload.h"

#include <stdlib.h>

#include "base/lanes.h"
#include "base/own.h"
#include "daemon/config.h"
#include "daemon/config_check.h"
#include "daemon/notify.h"

enum { READ_MS = 30000 };

struct reload_job {
	struct reload *reload; /* NULL: given up */
	const struct options *options;
	const struct config *running;
	struct reload_result found;
};

static void reload_work(void *arg)
{
	struct reload_job *g = arg;
	const struct config_api *a = &g->running->api;
	struct reload_result *f = &g->found;

	if (!config_load(g->options, &f->config, &f->errors))
		config_check_dates(f->config, &f->warnings);
	/* Certificates are renewed also while the configuration has a mistake. */
	if (*a->tls_cert)
		(void)tls_context(a->tls_cert, a->tls_key, set_or_null(a->tls_client_ca),
				  a->tls_client == TLS_CLIENT_REQUIRED, &f->tls, &f->tls_err);
}

static void reload_job_free(struct reload_job *g)
{
	config_free(g->found.config);
	buf_free(&g->found.errors);
	buf_free(&g->found.warnings);
	SSL_CTX_free(g->found.tls);
	free(g);
}

static void reload_begin(struct reload *r);

static void reload_finish(struct reload *r, struct reload_result *f)
{
	r->now = NULL;
	r->found(r->arg, f);
	if (r->again)
		reload_begin(r);
}

static void reload_done(void *arg, enum job_end end)
{
	struct reload_job *g = arg;

	if (end == JOB_DROPPED)
		buf_puts(&g->found.errors, "no thread was free to read it\n");
	if (g->reload)
		reload_finish(g->reload, &g->found);
	reload_job_free(g);
}

static void reload_late(void *arg)
{
	struct reload_job *g = arg;
	struct reload_result none = { 0 };

	buf_printf(&none.errors, "reading it has taken %d s\n", READ_MS / 1000);
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

	*g = (struct reload_job){ .reload = r, .options = r->options, .running = r->running };
	r->again = false;
	r->now = g;
	notify_reloading();
	(void)job_start(r->loop, &calls, g);
}

void reload_request(struct reload *r)
{
	if (r->now)
		r->again = true;
	else
		reload_begin(r);
}
