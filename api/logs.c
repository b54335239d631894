/* SPDX-License-Identifier: Apache-2.0
 * logs.c - GET /cvms/{id}/logs and /cvms/{id}/boots.
 *
 * A log is sent in slices, the next one when the client has taken most of the last: a large log and a slow client cost
 * a constant amount of memory.
 */
#include <stdlib.h>

#include "api/follow.h"
#include "api/log_link.h"
#include "api/shapes.h"
#include "api/tables.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/own.h"
#include "logs/logs.h"

enum { TAIL_DEFAULT = 10000, TAIL_MAX = 1000000, BACKLOG_MAX = 256 * 1024, SLICES = 4 };

struct log_follower {
	struct follower f;
	struct log_reader *reader;
};

static void finish(struct follower *f, bool client_gone)
{
	struct log_follower *l = (struct log_follower *)f;

	(void)client_gone;
	log_reader_free(l->reader);
	call_stream_end(f->call);
}

/* One slice; false when the answer is over. */
static bool slice(struct log_follower *l, char *buf, enum log_more *more)
{
	struct err e;
	size_t n = 0;

	if (log_reader_read(l->reader, buf, LOG_SLICE, &n, more, &e)) {
		log_warn("reading a log: %s", e.text);
		return false;
	}
	return (!n || call_stream_write(l->f.call, buf, n)) && *more != LOG_END;
}

static void look(struct follower *f, bool tick)
{
	struct log_follower *l = (struct log_follower *)f;
	auto_free char *buf = xmalloc(LOG_SLICE);
	enum log_more more = LOG_MORE;

	(void)tick;
	for (int i = 0; i < SLICES && more == LOG_MORE && call_stream_backlog(f->call) < BACKLOG_MAX; i++) {
		if (!slice(l, buf, &more)) {
			follow_end(f);
			return;
		}
	}
	if (more == LOG_MORE)
		follow_soon(f);
}

static const struct follow_ops ops = { .look = look, .finish = finish };

/* The link's token opens this CVM's logs to anyone; otherwise it takes a caller who may see the CVM. */
static int admit(struct call *c, struct cvm_row *ret, struct err *e)
{
	const char *token = call_query(c, "token", 0);
	struct vmm *v = api_of(c)->vmm;
	struct cvm_row row;

	if (token && !vmm_find(v, 0, c->param[0], &row, e) &&
	    log_token_ok(api_of(c), token, row.uuid, clock_wall_ms())) {
		*ret = row;
		return 0;
	}
	if (c->caller.role < ROLE_READER)
		return err_set(
			e, ERR_UNAUTHENTICATED,
			"logs need an API key or the link that GET /cvms/{id} gives as syslog_endpoint");
	return api_find_cvm(c, c->param[0], ret, e);
}

static int read_channel(struct call *c, struct log_ask *ret, struct err *e)
{
	const char *ch = call_query(c, "ch", 0);
	int stream = log_stream_from_channel(ch ? ch : "serial");

	if (stream < 0)
		return err_field(e, ERR_INVALID, "ch", ch, "ch must be one of serial, stdout, stderr");
	ret->stream = (enum log_stream)stream;
	return 0;
}

static int read_ask(struct call *c, struct log_ask *ret, struct err *e)
{
	const char *tail = call_query(c, "tail", 0) ? "tail" : "lines";
	int64_t boot = 0;
	bool ansi = false;
	int r = read_channel(c, ret, e);

	if (!r)
		r = call_query_int(c, tail, 0, TAIL_MAX, TAIL_DEFAULT, &ret->tail, e);
	if (!r)
		r = call_query_int(c, "boot", 0, UINT32_MAX, 0, &boot, e);
	if (!r)
		r = call_query_bool(c, "follow", false, &ret->follow, e);
	if (!r)
		r = call_query_bool(c, "ansi", false, &ansi, e);
	ret->boot = (unsigned)boot;
	ret->strip = !ansi;
	return r;
}

static int open_log(struct call *c, struct log_reader **ret, struct err *e)
{
	struct log_ask ask = { 0 };
	struct cvm_row row;
	int r = admit(c, &row, e);

	if (!r)
		r = read_ask(c, &ask, e);
	if (!r)
		r = log_reader_open(vmm_log_dir(api_of(c)->vmm, &row), &ask, ret, e);
	return r;
}

static void get_logs(struct call *c)
{
	struct log_reader *reader = NULL;
	struct log_follower *l;
	struct err e;

	if (open_log(c, &reader, &e)) {
		call_reply_err(c, &e);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->reader = reader;
	call_stream_begin(c, 200, "text/plain; charset=utf-8");
	follow_add(&l->f, c, &ops);
}

static json_t *shape_boot(const struct log_boot *b)
{
	return json_pack("{s:I,s:b,s:o,s:o,s:I,s:I}", "boot", (json_int_t)b->boot, "current", b->current,
			 "began_at", json_time_or_null(b->began_ms), "written_at",
			 json_time_or_null(b->written_ms), "serial_bytes", (json_int_t)b->serial_bytes,
			 "stdout_bytes", (json_int_t)b->qemu_bytes);
}

static void get_boots(struct call *c)
{
	auto_free struct log_boot *boots = NULL;
	struct cvm_row row;
	json_t *items;
	struct err e;
	size_t n = 0;

	if (api_find_cvm(c, c->param[0], &row, &e) ||
	    logs_list(vmm_log_dir(api_of(c)->vmm, &row), &boots, &n, &e)) {
		call_reply_err(c, &e);
		return;
	}
	items = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, shape_boot(&boots[i]));
	call_reply(c, 200, json_pack("{s:o,s:I}", "items", items, "total", (json_int_t)n));
}

const struct route log_routes[] = {
	{ "GET", "/api/v1/cvms/{id}/logs", ROLE_NONE, ROUTE_NO_AUTH | ROUTE_TRY_AUTH, 0, get_logs, NULL },
	{ "GET", "/api/v1/cvms/{id}/boots", ROLE_READER, 0, 0, get_boots, NULL },
	{ 0 },
};
