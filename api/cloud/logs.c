/* SPDX-License-Identifier: Apache-2.0
 * logs.c - GET /cvms/{id}/logs and GET /cvms/{id}/boots.
 *
 * Jobs open and read the files, one job at a time per answer and LOG_SLICE bytes per job. A slow
 * disk, a large log or a held lock therefore never blocks the loop, and a slow client costs a
 * constant amount of memory. The head of the answer is sent with the first bytes. A failure before
 * that is an error answer; a failure after it is a last line in the log text.
 *
 * A followed log is read when inotify reports a change of its folder. The output of QEMU is in
 * another folder, so for it every tick and every commit triggers a read.
 *
 * A job may outlive the client, the server and the api. Its data is therefore a struct log_source
 * of its own, which is freed when answer, job and inotify handle no longer use it.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "api/cloud/authenticate.h"
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/log_link.h"
#include "api/cloud/lookup.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/stream.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/lag.h"
#include "base/lanes.h"
#include "base/log.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/cvms.h"
#include "vmm/node/find.h"
#include "vmm/logs/log_reader.h"
#include "vmm/logs/log_stream.h"
#include "vmm/logs/logs.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/vmm.h"

enum { TAIL_DEFAULT = 10000, TAIL_MAX = 1000000, BACKLOG_MAX = 256 * 1024 };
/* inotify may lose an event when the loop is late, so every CHECK_TICKS ticks the log is read
 * anyway. */
enum { READ_MAX_MS = 15000, READ_GAP_MS = 20, CHECK_TICKS = 10 };

struct log_answer;

struct log_source {
	struct log_answer *answer; /* NULL: the answer has ended */
	uv_loop_t *loop;
	/* owned by the job while there is one */
	struct log_request req;
	char *dir;
	struct log_reader *reader; /* NULL: not opened yet */
	char *data;                /* LOG_SLICE bytes, NULL between reads */
	size_t n;
	enum log_more more;
	struct err e;
	bool failed;
	/* used on the loop only */
	struct job *job;
	bool late;    /* the job is past its deadline */
	bool read;    /* the job has ended: data, or the error, must be sent */
	bool changed; /* the log may have grown since the last read */
	uv_fs_event_t watch;
	bool watching, watch_open;
};

struct log_answer {
	struct stream f;
	struct log_source *source;
	struct err e; /* why the answer ended early */
	bool begun;   /* the head was sent */
	bool over;    /* all of the log was sent */
	int64_t read_ms;
	unsigned ticks;
};

/* ------------------------------------------------------------------ the source */

static void log_source_free_unused(struct log_source *s)
{
	if (s->answer || s->job || s->watch_open)
		return;
	log_reader_free(s->reader);
	free(s->data);
	free(s->dir);
	free(s);
}

static void log_watch_closed(uv_handle_t *h)
{
	struct log_source *s = h->data;

	s->watch_open = false;
	log_source_free_unused(s);
}

/* The answer has ended: drop the reference to it. */
static void log_source_leave(struct log_source *s)
{
	assert(s->answer);
	s->answer = NULL;
	if (s->job)
		job_cancel(s->job);
	if (s->watch_open)
		uv_close((uv_handle_t *)&s->watch, log_watch_closed);
	else
		log_source_free_unused(s);
}

static void log_pump(struct stream *f);

static void log_folder_changed(uv_fs_event_t *h, const char *name, int events, int status)
{
	struct log_source *s = h->data;

	(void)name;
	(void)events;
	(void)status;
	LAG_SECTION("log", "changed");
	s->changed = true;
	if (s->answer)
		stream_enter(&s->answer->f, log_pump);
}

/* The watch may miss what was written between the last read and now, so read once more. The folder
 * does not show changes of the output of QEMU. */
static void log_watch(struct log_source *s)
{
	s->changed = true;
	if (s->req.stream != LOG_SERIAL)
		return;
	(void)uv_fs_event_init(s->loop, &s->watch);
	s->watch.data = s;
	s->watch_open = true;
	s->watching = !uv_fs_event_start(&s->watch, log_folder_changed, s->dir, 0);
}

static void log_read_work(void *arg)
{
	struct log_source *s = arg;
	int r = s->reader ? 0 : log_reader_open(s->dir, &s->req, &s->reader, &s->e);

	/* A read may return no bytes between two files, or if everything was stripped. */
	do {
		if (!r)
			r = log_reader_read(s->reader, s->data, LOG_SLICE, &s->n, &s->more, &s->e);
	} while (!r && !s->n && s->more == LOG_MORE && !job_is_cancelled());
	s->failed = r < 0;
}

static void log_read_done(void *arg, enum job_end end)
{
	struct log_source *s = arg;

	assert(s->job && !s->read);
	s->job = NULL;
	s->read = true;
	if (end == JOB_DROPPED) {
		s->failed = true;
		err_set(&s->e, ERR_UNAVAILABLE,
			"the log was not read: too many jobs are waiting for files");
	}
	if (s->answer)
		stream_enter(&s->answer->f, log_pump);
	else
		log_source_free_unused(s);
}

static void log_read_late(void *arg)
{
	struct log_source *s = arg;

	s->late = true;
	if (s->answer)
		stream_enter(&s->answer->f, log_pump);
}

static void log_read_start(struct log_source *s)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "read a log",
						.deadline_ms = READ_MAX_MS,
						.work = log_read_work,
						.done = log_read_done,
						.late = log_read_late };

	assert(!s->job && !s->read);
	s->data = xmalloc(LOG_SLICE);
	s->n = 0;
	s->changed = false;
	s->job = job_start(s->loop, &calls, s);
}

/* ------------------------------------------------------------------ the answer */

static void log_write_failure(struct log_answer *l)
{
	auto_free char *line =
		xasprintf("\n===== teepod: the log is not complete: %s =====\n", l->e.text);

	(void)call_stream_write(l->f.call, line, strlen(line));
}

static void log_finish(struct stream *f, bool client_gone)
{
	struct log_answer *l = (struct log_answer *)f;

	/* When the node ends a followed log, all text so far was sent. When it ends another answer,
	 * the text is incomplete. */
	if (!l->e.code && !l->over && !caller_still_valid(f->call, &l->e) &&
	    (!l->begun || !l->source->req.follow))
		err_set(&l->e, ERR_UNAVAILABLE, "the answer ended before it was complete");
	log_source_leave(l->source);
	if (!l->begun) {
		call_reply_err(f->call, &l->e);
		return;
	}
	if (l->e.code && !client_gone)
		log_write_failure(l);
	call_stream_end(f->call);
}

static bool log_fail(struct log_answer *l, const struct err *e)
{
	l->e = *e;
	if (l->begun)
		log_warn("logs: cannot read %s: %s", l->source->dir, e->text);
	return false;
}

/* Send the result of the last job. False when the answer has ended. */
static bool log_deliver(struct log_answer *l)
{
	struct log_source *s = l->source;
	auto_free char *data = take_ptr(&s->data);

	assert(s->read && !s->job && !l->over);
	s->read = false;
	if (s->failed)
		return log_fail(l, &s->e);
	if (!l->begun) {
		l->begun = true;
		call_stream_begin(l->f.call, 200, "text/plain; charset=utf-8");
		if (s->req.follow && s->more != LOG_END)
			log_watch(s);
	}
	l->over = s->more == LOG_END;
	return call_stream_write(l->f.call, data, s->n) && !l->over;
}

/* Start a job if there may be more to read and the client has received most of the last read. */
static void log_read_next(struct log_answer *l)
{
	struct log_source *s = l->source;
	bool more = !s->reader || s->more == LOG_MORE;
	/* Limit the rate of jobs for a guest that writes byte by byte. */
	bool paced = s->req.follow && s->n < LOG_SLICE / 2;
	int64_t now = clock_mono_ms();

	if (!more && !s->changed)
		return;
	if (call_stream_backlog(l->f.call) >= BACKLOG_MAX ||
	    (paced && now - l->read_ms < READ_GAP_MS)) {
		stream_poll_soon(&l->f);
		return;
	}
	l->read_ms = now;
	log_read_start(s);
}

static void log_pump(struct stream *f)
{
	struct log_answer *l = (struct log_answer *)f;
	struct log_source *s = l->source;
	struct err e;

	if (s->job && s->late) {
		err_set(&e, ERR_TIMEOUT, "the log could not be read within %d s",
			READ_MAX_MS / 1000);
		(void)log_fail(l, &e);
		stream_end(f);
	} else if (s->read && !log_deliver(l)) {
		stream_end(f);
	} else if (!s->job) {
		log_read_next(l);
	}
}

static void log_poll(struct stream *f, bool tick)
{
	struct log_answer *l = (struct log_answer *)f;

	l->ticks += tick;
	if (!l->source->watching || (tick && l->ticks % CHECK_TICKS == 0))
		l->source->changed = true;
	log_pump(f);
}

static const struct stream_ops log_stream_ops = { .poll = log_poll, .finish = log_finish };

/* ------------------------------------------------------------------ the request */

/* Find the CVM and check access: a log link gives access, and its requests count as requests of its
 * creator; other callers must be allowed to see the CVM. *link then identifies the link, whose
 * users share one limit of streams; it is untouched without a link. */
static int log_authorize(struct call *c, struct cvm_row *ret, struct stream_share *link,
			 struct err *e)
{
	const char *token = call_query(c, "token", 0);
	struct vmm *v = api_of(c)->vmm;
	char uuid[UUID_TEXT];
	struct cvm_row row;
	int r = -ERR_UNAUTHENTICATED;

	if (token && id_uuid_parse(c->param[0], uuid) && !vmm_find_uuid(v, 0, uuid, &row, e))
		r = log_link_open(c, token, &row, e);
	if (!r) {
		*ret = row;
		(void)snprintf(link->caller, sizeof(link->caller), "link:%s", row.uuid);
		link->workspace = row.workspace;
	}
	if (r != -ERR_UNAUTHENTICATED)
		return r;
	if (c->caller.role < ROLE_READER)
		return err_set(e, ERR_UNAUTHENTICATED,
			       "logs need an API key or the link in syslog_endpoint of GET "
			       "/cvms/{id}");
	return api_find_cvm(c, c->param[0], ret, e);
}

static int log_read_channel(struct call *c, struct log_request *ret, struct err *e)
{
	const char *ch = call_query(c, "ch", 0);
	int stream = log_stream_from_channel(ch ? ch : "serial");

	if (stream < 0)
		return err_field(e, ERR_INVALID, "ch", ch,
				 "ch must be one of serial, stdout, stderr");
	ret->stream = (enum log_stream)stream;
	return 0;
}

static int log_read_query(struct call *c, struct log_request *ret, struct err *e)
{
	const char *tail = call_query(c, "tail", 0) ? "tail" : "lines";
	int64_t boot = 0;
	bool ansi = false;
	int r = log_read_channel(c, ret, e);

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

static struct log_source *log_source_new(struct vmm *v, const struct cvm_row *row,
					 const struct log_request *req)
{
	struct log_source *s = xcalloc(1, sizeof(*s));

	s->loop = vmm_settings(v)->loop;
	s->req = *req;
	s->dir = vmm_log_dir(v, row);
	return s;
}

static void get_logs(struct call *c)
{
	struct log_request req = { 0 };
	struct stream_share share = { 0 };
	struct log_answer *l;
	struct cvm_row row;
	struct err e;
	int r = log_authorize(c, &row, &share, &e);

	if (!r)
		r = log_read_query(c, &req, &e);
	if (!r)
		r = stream_admit(c, STREAM_ENDLESS, &share, &e);
	if (r) {
		call_reply_err(c, &e);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->source = log_source_new(api_of(c)->vmm, &row, &req);
	l->source->answer = l;
	l->f.share = share;
	stream_add(&l->f, c, &log_stream_ops);
}

/* ------------------------------------------------------------------ boots */

/* One answer of /boots. It may outlive its call while the job runs. */
struct boot_listing {
	struct call *call; /* NULL: answered */
	struct job *job;
	char *dir;
	struct log_boot *boots;
	size_t n;
	struct err e;
	bool failed;
};

static json_t *serialize_boot(const struct log_boot *b)
{
	return json_pack("{s:I,s:b,s:o,s:o,s:I,s:I}", "boot", (json_int_t)b->boot, "current",
			 b->current, "began_at", json_time_or_null(b->began_ms), "written_at",
			 json_time_or_null(b->written_ms), "serial_bytes",
			 (json_int_t)b->serial_bytes, "stdout_bytes", (json_int_t)b->qemu_bytes);
}

static void boots_reply(struct boot_listing *l)
{
	json_t *items = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(items, serialize_boot(&l->boots[i]));
	call_reply(l->call, 200, json_pack("{s:o,s:I}", "items", items, "total", (json_int_t)l->n));
}

static void boots_work(void *arg)
{
	struct boot_listing *l = arg;

	l->failed = logs_list(l->dir, &l->boots, &l->n, &l->e) < 0;
}

static void boots_gone(void *arg)
{
	struct boot_listing *l = arg;

	job_cancel(l->job);
}

static void boots_done(void *arg, enum job_end end)
{
	struct boot_listing *l = arg;

	if (end == JOB_DROPPED) {
		l->failed = true;
		err_set(&l->e, ERR_UNAVAILABLE,
			"boots were not listed: too many jobs are waiting for files");
	}
	if (l->call && l->failed)
		call_reply_err(l->call, &l->e);
	else if (l->call)
		boots_reply(l);
	free(l->boots);
	free(l->dir);
	free(l);
}

static void boots_late(void *arg)
{
	struct boot_listing *l = arg;
	struct call *c = take_ptr(&l->call);
	struct err e;

	assert(c); /* answered at most once */
	call_on_gone(c, NULL, NULL);
	err_set(&e, ERR_TIMEOUT, "boots could not be listed within %d s", READ_MAX_MS / 1000);
	call_reply_err(c, &e);
}

static void get_boots(struct call *c)
{
	static const struct job_calls calls = { .lane = LANE_SHORT,
						.what = "list the logs of a CVM",
						.deadline_ms = READ_MAX_MS,
						.work = boots_work,
						.done = boots_done,
						.late = boots_late };
	struct vmm *v = api_of(c)->vmm;
	struct boot_listing *l;
	struct cvm_row row;
	struct err e;

	if (api_find_cvm(c, c->param[0], &row, &e)) {
		call_reply_err(c, &e);
		return;
	}
	l = xcalloc(1, sizeof(*l));
	l->call = c;
	l->dir = vmm_log_dir(v, &row);
	l->job = job_start(vmm_settings(v)->loop, &calls, l);
	call_on_gone(c, boots_gone, l);
}

const struct route log_routes[] = {
	{ "GET", "/api/v1/cvms/{id}/logs", ROLE_NONE, ROUTE_NO_AUTH | ROUTE_TRY_AUTH, 0, get_logs,
	  NULL },
	{ "GET", "/api/v1/cvms/{id}/boots", ROLE_READER, 0, 0, get_boots, NULL },
	{ 0 },
};
