/* SPDX-License-Identifier: Apache-2.0
 * state.c - GET /cvms/{id}/state: the status of a CVM, once or as a stream until it reaches a
 * target.
 *
 * The stream sends "state" first and after every change, then "complete" when the status is the
 * target, or "timeout".
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cloud/context.h"
#include "api/cloud/lookup.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/serialize_status.h"
#include "api/cloud/sse.h"
#include "api/cloud/stream.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "db/cvms.h"
#include "vmm/node/find.h"
#include "vmm/cvm/status.h"

enum { INTERVAL_DEFAULT = 5, TIMEOUT_DEFAULT = 300 };

static const char deleted[] = "deleted";

struct state_stream {
	struct stream f;
	char uuid[UUID_TEXT];
	char target[32]; /* "": none, the stream ends by timeout */
	char *last;      /* owned: canonical text of the last state sent, without uptime */
	json_t *state;   /* owned: the last state sent */
	int64_t until_ms;
	unsigned interval_s;
};

static void state_finish(struct stream *f, bool client_gone)
{
	struct state_stream *sf = (struct state_stream *)f;

	(void)client_gone;
	json_decref(sf->state);
	free(sf->last);
	call_stream_end(f->call);
}

/* The current state. A CVM that no longer exists is "deleted". */
static json_t *state_read(struct state_stream *sf)
{
	struct cvm_row row;
	struct err e;
	json_t *state;
	int r;

	r = vmm_find_uuid(api_of(sf->f.call)->vmm, 0, sf->uuid, &row, &e);
	if (!r)
		return serialize_state(&row, clock_wall_ms());
	state = json_copy(sf->state);
	/* if the database cannot be read now, the CVM is not deleted */
	if (r != -ERR_CVM_NOT_FOUND)
		return state;
	json_object_set_new(state, "status", json_string(deleted));
	json_object_del(state, "uptime");
	return state;
}

static char *state_without_uptime(const json_t *state)
{
	auto_json json_t *copy = json_copy((json_t *)state);

	json_object_del(copy, "uptime");
	return json_canonical(copy);
}

/* Send the state if it has changed. False when the client is gone. */
static bool state_send_change(struct state_stream *sf)
{
	json_t *now = state_read(sf);
	char *text = state_without_uptime(now);
	bool same = sf->last && !strcmp(text, sf->last);

	free(sf->last);
	sf->last = text;
	json_decref(sf->state);
	sf->state = now;
	return same || sse_event(&sf->f, 0, "state", now);
}

static void state_poll(struct stream *f, bool tick)
{
	struct state_stream *sf = (struct state_stream *)f;
	const char *status;
	bool over = !state_send_change(sf);

	status = json_string_value(json_object_get(sf->state, "status"));
	assert(status);
	if (!over && !strcmp(status, sf->target)) {
		(void)sse_event(f, 0, "complete", sf->state);
		over = true;
	} else if (!over && !strcmp(status, deleted)) {
		auto_json json_t *error = json_pack("{s:s,s:s}", "error_code", "ERR-03-001",
						    "message", "the CVM was deleted");

		(void)sse_event(f, 0, "error", error);
		over = true;
	} else if (!over && clock_mono_ms() >= sf->until_ms) {
		(void)sse_event(f, 0, "timeout", sf->state);
		over = true;
	}
	if (over || (tick && !sse_heartbeat(f, sf->interval_s)))
		stream_end(f);
}

static const struct stream_ops state_stream_ops = { .poll = state_poll, .finish = state_finish };

static int read_state_target(struct call *c, const char **ret, struct err *e)
{
	const char *target = call_query(c, "target", 0);
	char words[160] = "deleted";
	size_t n = strlen(words);

	*ret = "";
	if (!target)
		return 0;
	*ret = target;
	if (!strcmp(target, deleted))
		return 0;
	for (int i = 0; i < STATUS_MAX; i++) {
		const char *word = status_word((enum status)i);

		if (!strcmp(target, word))
			return 0;
		if (n < sizeof(words))
			n += (size_t)snprintf(words + n, sizeof(words) - n, ", %s", word);
	}
	return err_field(e, ERR_INVALID, "target", target, "target must be one of %s", words);
}

static int state_stream_open(struct call *c, const struct cvm_row *row, struct err *e)
{
	int64_t interval = INTERVAL_DEFAULT, timeout = TIMEOUT_DEFAULT;
	struct state_stream *sf;
	const char *target;
	struct stream_share share = { 0 };
	int r = read_state_target(c, &target, e);

	if (!r)
		r = call_query_int(c, "interval", 5, 30, INTERVAL_DEFAULT, &interval, e);
	if (!r)
		r = call_query_int(c, "timeout", 10, 600, TIMEOUT_DEFAULT, &timeout, e);
	if (!r)
		r = stream_admit(c, STREAM_ENDLESS, &share, e);
	if (r)
		return r;
	sf = xcalloc(1, sizeof(*sf));
	sf->f.share = share;
	memcpy(sf->uuid, row->uuid, sizeof(sf->uuid));
	(void)snprintf(sf->target, sizeof(sf->target), "%s", target);
	sf->state = serialize_state(row, clock_wall_ms());
	sf->until_ms = clock_mono_ms() + timeout * 1000;
	sf->interval_s = (unsigned)interval;
	sse_begin(c);
	stream_add(&sf->f, c, &state_stream_ops);
	return 0;
}

static void get_cvm_state(struct call *c)
{
	struct cvm_row row;
	struct err e;
	int r = api_find_cvm(c, c->param[0], &row, &e);

	if (!r && sse_is_wanted(c))
		r = state_stream_open(c, &row, &e);
	else if (!r)
		call_reply(c, 200, serialize_state(&row, clock_wall_ms()));
	if (r)
		call_reply_err(c, &e);
}

const struct route state_routes[] = {
	{ "GET", "/api/v1/cvms/{id}/state", ROLE_READER, 0, 0, get_cvm_state, NULL },
	{ 0 },
};
