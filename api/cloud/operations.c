/* SPDX-License-Identifier: Apache-2.0
 * operations.c - /operations: list, read, wait for and cancel operations.
 */
#include <assert.h>
#include <string.h>

#include "api/cloud/authenticate.h"
#include "api/cloud/context.h"
#include "api/cloud/lookup.h"
#include <jansson.h>
#include "api/cloud/mutation_call.h"
#include "api/cloud/paging.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/serialize_operation.h"
#include "api/cloud/stream.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/own.h"
#include "db/cvms.h"
#include "db/operations.h"
#include "vmm/op/mutation.h"
#include "vmm/op/op_begin.h"
#include "vmm/vmm.h"

enum { WAIT_MAX_S = 60 };

/* Return the same error for "does not exist" and "in another workspace". */
static int operation_find(const struct call *c, const char *id, struct op_row *ret, struct err *e)
{
	struct op_row row;
	char uuid[UUID_TEXT];
	int r = id_uuid_parse(id, uuid) ? vmm_operation(api_of(c)->vmm, uuid, &row, e)
					: -ERR_NOT_FOUND;

	if (!r && api_scope(c) && row.workspace != api_scope(c))
		r = -ERR_NOT_FOUND;
	if (r == -ERR_NOT_FOUND)
		return err_field(e, ERR_NOT_FOUND, "operation_id", id,
				 "operation %.64s does not exist", id);
	if (!r)
		*ret = row;
	return r;
}

static bool operation_is_over(const struct op_row *op)
{
	return op->state != OP_QUEUED && op->state != OP_RUNNING;
}

/* ------------------------------------------------------------------ one, with waiting */

struct operation_wait {
	struct stream f;
	char op_id[UUID_TEXT];
	int64_t until_ms;
};

static void operation_wait_finish(struct stream *f, bool client_gone)
{
	const struct operation_wait *w = (const struct operation_wait *)f;
	struct op_row op;
	struct err e;

	(void)client_gone; /* the server drops the answer if the client is gone */
	if (caller_still_valid(f->call, &e) || operation_find(f->call, w->op_id, &op, &e))
		call_reply_err(f->call, &e);
	else
		call_reply(f->call, 200, serialize_operation(f->call, &op));
}

static void operation_wait_poll(struct stream *f, bool tick)
{
	const struct operation_wait *w = (const struct operation_wait *)f;
	struct op_row op = { 0 };
	struct err e;

	(void)tick;
	if (clock_mono_ms() >= w->until_ms || operation_find(f->call, w->op_id, &op, &e) ||
	    operation_is_over(&op))
		stream_end(f);
}

static const struct stream_ops operation_wait_ops = { .poll = operation_wait_poll,
						      .finish = operation_wait_finish,
						      .kind = STREAM_LONG_POLL };

/* ?wait= and ?timeout= are the same; the stream of GET /cvms/{id}/state uses timeout. */
static int read_wait_seconds(struct call *c, int64_t *ret, struct err *e)
{
	const char *timeout = call_query(c, "timeout", 0);
	int64_t wait_s, timeout_s;
	int r = call_query_int(c, "wait", 0, WAIT_MAX_S, 0, &wait_s, e);

	if (!r)
		r = call_query_int(c, "timeout", 0, WAIT_MAX_S, wait_s, &timeout_s, e);
	if (r)
		return r;
	if (call_query(c, "wait", 0) && timeout_s != wait_s)
		return err_field(
			e, ERR_INCOMPATIBLE, "timeout", timeout,
			"wait is %lld, but timeout (another name of it) is %s: send one of them",
			(long long)wait_s, timeout);
	*ret = timeout_s;
	return 0;
}

static void get_operation(struct call *c)
{
	int64_t wait_s = 0;
	struct stream_share share = { 0 };
	struct operation_wait *w;
	struct op_row op = { 0 };
	struct err e;

	if (read_wait_seconds(c, &wait_s, &e) || operation_find(c, c->param[0], &op, &e)) {
		call_reply_err(c, &e);
		return;
	}
	if (!wait_s || operation_is_over(&op)) {
		call_reply(c, 200, serialize_operation(c, &op));
		return;
	}
	if (stream_admit(c, STREAM_LONG_POLL, &share, &e)) {
		call_reply_err(c, &e);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	assert(share.caller[0] && !operation_is_over(&op));
	w->f.share = share;
	memcpy(w->op_id, op.id, sizeof(w->op_id));
	w->until_ms = clock_mono_ms() + wait_s * 1000;
	stream_add(&w->f, c, &operation_wait_ops);
}

/* ------------------------------------------------------------------ the list */

static int read_operation_state(struct call *c, int *ret, struct err *e)
{
	const char *word = call_query(c, "state", 0);

	*ret = -1;
	if (!word)
		return 0;
	for (int i = 0; i < OP_STATES; i++) {
		if (!strcmp(word, op_state_word[i])) {
			*ret = i;
			return 0;
		}
	}
	return err_field(e, ERR_INVALID, "state", word,
			 "state must be one of queued, running, succeeded, failed, cancelled");
}

/* A UUID may name a deleted CVM: operations outlive their CVM. */
static int read_operation_cvm(struct call *c, char uuid[UUID_TEXT], struct op_filter *f,
			      struct err *e)
{
	const char *id = call_query(c, "cvm", 0);
	struct cvm_row row;
	int r = 0;

	if (!id)
		return 0;
	if (!id_uuid_parse(id, uuid)) {
		r = api_find_cvm(c, id, &row, e);
		if (!r)
			memcpy(uuid, row.uuid, UUID_TEXT);
	}
	f->cvm_uuid = uuid;
	return r;
}

static void get_operations(struct call *c)
{
	struct op_filter f = { .workspace = api_scope(c) };
	auto_free struct op_row *rows = NULL;
	char uuid[UUID_TEXT];
	json_t *items;
	int64_t total = 0;
	struct page p;
	struct err e;
	size_t n = 0;

	if (page_read(c, 50, 100, &p, &e) || read_operation_state(c, &f.state, &e) ||
	    read_operation_cvm(c, uuid, &f, &e) ||
	    vmm_operations(api_of(c)->vmm, &f, page_offset(&p), p.size, &rows, &n, &total, &e)) {
		call_reply_err(c, &e);
		return;
	}
	items = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, serialize_operation(c, &rows[i]));
	page_reply(c, items, &p, total);
}

/* ------------------------------------------------------------------ cancel */

static int operation_cancel_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	struct vmm *v = api_of(ch->call)->vmm;
	struct op_row op;
	json_t *body;
	int r = operation_find(ch->call, ch->call->param[0], &op, e);

	if (!r)
		r = vmm_cancel(v, op.id, e);
	if (!r)
		r = vmm_operation(v, op.id, &op, e);
	if (r)
		return r;
	body = serialize_operation(ch->call, &op);
	json_object_set_new(body, "operation_id", json_string(op.id));
	*ret = (struct answer){ .status = 202, .body = body };
	return 0;
}

static const struct mutation_call_ops operation_cancel_ops = { .apply = operation_cancel_apply };

static void delete_operation(struct call *c)
{
	mutation_call_run(xcalloc(1, sizeof(struct mutation_call)), c, NULL, &operation_cancel_ops);
}

const struct route operation_routes[] = {
	{ "GET", "/api/v1/operations", ROLE_READER, 0, 0, get_operations, NULL },
	{ "GET", "/api/v1/operations/{id}", ROLE_READER, 0, 0, get_operation, NULL },
	{ "DELETE", "/api/v1/operations/{id}", ROLE_TENANT, ROUTE_MUTATION | ROUTE_EMPTY_OK, 1024,
	  delete_operation, NULL },
	{ 0 },
};
