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

struct reading {
	struct reload *reload; /* NULL: given up */
	const struct options *options;
	const struct config *running;
	struct reload_found found;
};

static void read_work(void *arg)
{
	struct reading *g = arg;
	const struct config_api *a = &g->running->api;
	struct reload_found *f = &g->found;

	if (!config_load(g->options, &f->config, &f->errors))
		config_check_dates(f->config, &f->warnings);
	/* Certificates are renewed also while the configuration has a mistake. */
	if (*a->tls_cert)
		(void)tls_context(a->tls_cert, a->tls_key, set_or_null(a->tls_client_ca),
				  a->tls_client == TLS_CLIENT_REQUIRED, &f->tls, &f->tls_err);
}

static void reading_free(struct reading *g)
{
	config_free(g->found.config);
	buf_free(&g->found.errors);
	buf_free(&g->found.warnings);
	SSL_CTX_free(g->found.tls);
	free(g);
}

static void begin(struct reload *r);

static void over(struct reload *r, struct reload_found *f)
{
	r->now = NULL;
	r->found(r->arg, f);
	if (r->again)
		begin(r);
}

static void read_done(void *arg, enum job_end end)
{
	struct reading *g = arg;

	if (end == JOB_DROPPED)
		buf_puts(&g->found.errors, "no thread was free to read it\n");
	if (g->reload)
		over(g->reload, &g->found);
	reading_free(g);
}

static void read_late(void *arg)
{
	struct reading *g = arg;
	struct reload_found none = { 0 };

	buf_printf(&none.errors, "reading it has taken %d s\n", READ_MS / 1000);
	over(g->reload, &none);
	g->reload = NULL;
	buf_free(&none.errors);
}

static void begin(struct reload *r)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "read the configuration",
						.deadline_ms = READ_MS,
						.work = read_work,
						.done = read_done,
						.late = read_late };
	struct reading *g = xcalloc(1, sizeof(*g));

	*g = (struct reading){ .reload = r, .options = r->options, .running = r->running };
	r->again = false;
	r->now = g;
	notify_reloading();
	(void)job_start(r->loop, &calls, g);
}

void reload_ask(struct reload *r)
{
	if (r->now)
		r->again = true;
	else
		begin(r);
}
