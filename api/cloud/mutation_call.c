/* SPDX-License-Identifier: Apache-2.0
 * mutation_call.c - the common path of all requests that change something: idempotency,
 * preconditions, transaction.
 */
#include "api/cloud/mutation_call.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/cloud/authenticate.h"
#include "api/cloud/body_power.h"
#include "api/cloud/context.h"
#include <jansson.h>
#include "api/cloud/precondition.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "api/http/target.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/own.h"
#include "vmm/admit/port_probe.h"
#include "vmm/logs/serial_scan.h"
#include "vmm/op/mutation.h"

enum { KEY_MAX = 255 };

struct idempotency {
	const char *key;
	char caller[CALLER_TEXT];
	char digest[SHA256_HEX];
};

static int read_idempotency_key(const struct call *c, const char **ret, struct err *e)
{
	const char *key = call_header(c, "Idempotency-Key");
	size_t n = key ? strlen(key) : 1;
	bool ok = n >= 1 && n <= KEY_MAX;

	for (size_t i = 0; key && ok && i < n; i++)
		ok = key[i] >= 0x20 && key[i] < 0x7f;
	if (!ok)
		return err_field(
			e, ERR_INVALID, "Idempotency-Key", key,
			"header Idempotency-Key must be 1 to %d printable ASCII characters",
			KEY_MAX);
	*ret = key;
	return 0;
}

/* Sort by name. Pairs with equal names keep their order in the query: the order of their addresses.
 */
static int compare_query_pairs(const void *pa, const void *pb)
{
	const struct target_pair *a = pa, *b = pb;
	int d = strcmp(a->key, b->key);

	return d ? d : (a->key < b->key ? -1 : 1);
}

static void digest_query(const struct call *c, struct buf *b)
{
	struct target_pair pairs[TARGET_PAIRS];
	auto_free char *store = NULL;
	unsigned n = target_pairs(c->query, pairs, &store);

	qsort(pairs, n, sizeof(pairs[0]), compare_query_pairs);
	for (unsigned i = 0; i < n; i++)
		buf_printf(b, "\nquery %zu:%s %zu:%s", strlen(pairs[i].key), pairs[i].key,
			   strlen(pairs[i].value), pairs[i].value);
}

/* Digest of everything that selects the effect of a request. The order of keys and the white space
 * of the body have no effect on it. Besides path and body: ?workspace= selects the CVM, If-Match
 * its state, X-Phala-Version the answer. Stored digests outlive an upgrade of the daemon, so the
 * digest of a request without these fields must not change. */
static void request_digest(const struct call *c, const json_t *body, char out[SHA256_HEX])
{
	auto_buf struct buf b = { 0 };
	const char *text = call_canonical(c, body), *tag;
	auto_free char *made = body && !text ? json_canonical(body) : NULL;

	buf_printf(&b, "%s\n%s\n%s", c->method, c->path, text ? text : made ? made : "");
	digest_query(c, &b);
	for (unsigned i = 0; (tag = call_header_nth(c, "If-Match", i)); i++)
		buf_printf(&b, "\nif-match %zu:%s", strlen(tag), tag);
	if (c->version == 25)
		buf_puts(&b, "\nversion 25");
	id_sha256_hex(b.data, b.len, out);
}

static int idempotency_read(const struct call *c, const json_t *body, struct idempotency *ret,
			    struct err *e)
{
	int r = read_idempotency_key(c, &ret->key, e);

	if (r)
		return r;
	api_caller_text(c, ret->caller);
	ret->digest[0] = '\0';
	if (ret->key)
		request_digest(c, body, ret->digest);
	return 0;
}

static void mutation_call_answer(struct call *c, struct answer *a, bool replayed)
{
	const char *op = json_string_value(json_object_get(a->body, "operation_id"));
	const json_t *generation = json_object_get(a->body, "generation");

	assert(replayed || (a->status >= 200 && a->status < 300));
	if (op)
		call_add_header(c, "X-Operation-Id", op);
	if (json_is_integer(generation))
		etag_put(c, json_integer_value(generation));
	if (replayed)
		call_add_header(c, "Idempotent-Replayed", "true");
	if (a->status == 204) {
		json_decref(a->body);
		a->body = NULL;
	}
	call_reply(c, a->status, take_ptr(&a->body));
}

static void mutation_call_free(struct mutation_call *ch)
{
	json_decref(ch->body);
	ch->body = NULL;
	if (ch->ops->free)
		ch->ops->free(ch);
	else
		free(ch);
}

static int mutation_call_apply(void *arg, struct answer *ret, struct err *e)
{
	struct mutation_call *ch = arg;
	int r;

	assert(ch->call && ch->ops);
	r = caller_still_valid(ch->call, e);

	if (!r)
		r = precondition_check(ch->call, e);

	return r ? r : ch->ops->apply(ch, ret, e);
}

static void mutation_call_begin(void *arg);

static void mutation_call_done(void *arg, struct answer *a, bool replayed, const struct err *e)
{
	struct mutation_call *ch = arg;

	assert_loop_thread();
	assert(!a != !e);
	if (e && !call_is_cut(ch->call) &&
	    admission_retry(api_of(ch->call)->vmm, e, ch->host_inspected, mutation_call_begin,
			    ch)) {
		ch->host_inspected = true;
		return;
	}
	if (!e && !replayed && ch->ops->reveal)
		ch->ops->reveal(ch, a->body);
	if (e)
		call_reply_err(ch->call, e);
	else
		mutation_call_answer(ch->call, a, replayed);
	mutation_call_free(ch);
}

/* Refuse a timeout in the query. It would be ignored, and the guest would get another timeout than
 * its owner expects. */
static int refuse_query_timeout(struct call *c, struct err *e)
{
	for (const char *const *name = timeout_names; *name; name++) {
		const char *value = call_query(c, *name, 0);

		if (value)
			return err_field(e, ERR_INVALID, *name, value,
					 "%s is not a query parameter: send it in the body, in "
					 "seconds",
					 *name);
	}
	return 0;
}

static bool mutation_releases_resources(const struct call *c)
{
	const char *verb = strrchr(c->route, '/');

	assert(verb);
	return !strcmp(c->method, "DELETE") || !strcmp(verb, "/stop") || !strcmp(verb, "/shutdown");
}

static void mutation_call_begin(void *arg)
{
	struct mutation_call *ch = arg;
	struct idempotency s;
	struct err e;

	if (call_refuse_cut(ch->call, &e) || refuse_query_timeout(ch->call, &e) ||
	    idempotency_read(ch->call, ch->body, &s, &e)) {
		call_reply_err(ch->call, &e);
		mutation_call_free(ch);
		return;
	}
	vmm_mutate(api_of(ch->call)->vmm,
		   &(struct mutation){
			   .caller = s.caller,
			   .key = s.key,
			   .digest = s.digest,
			   .workspace = api_scope(ch->call),
			   .gives_back = mutation_releases_resources(ch->call),
			   .apply = mutation_call_apply,
			   .done = mutation_call_done,
		   },
		   ch);
}

static void mutation_call_init(struct mutation_call *ch, struct call *c, json_t *body,
			       const struct mutation_call_ops *ops)
{
	assert_loop_thread();
	assert(ops->apply);
	assert(!ch->call && !ch->body);
	ch->ops = ops;
	ch->call = c;
	ch->body = body;
}

void mutation_call_run(struct mutation_call *ch, struct call *c, json_t *body,
		       const struct mutation_call_ops *ops)
{
	mutation_call_init(ch, c, body, ops);
	mutation_call_begin(ch);
}

void mutation_call_run_json(struct mutation_call *ch, struct call *c, bool empty_ok,
			    const struct mutation_call_ops *ops)
{
	struct err e;

	assert(ops->parse);
	mutation_call_init(ch, c, call_json(c, empty_ok, &e), ops);
	if (ch->body && !ops->parse(ch, &e)) {
		mutation_call_begin(ch);
		return;
	}
	call_reply_err(c, &e);
	mutation_call_free(ch);
}

/* ------------------------------------------------------------------ stored answers */

struct idempotency_probe {
	struct call *call;
	void (*next)(void *arg, bool answered);
	void *arg;
	bool unknown;
};

/* Runs only if no answer is stored under the key. The error rolls the savepoint back. */
static int probe_apply(void *arg, struct answer *ret, struct err *e)
{
	struct idempotency_probe *p = arg;

	(void)ret;
	p->unknown = true;
	return err_set(e, ERR_CANCELLED, "no answer is stored under this key");
}

static void probe_done(void *arg, struct answer *a, bool replayed, const struct err *e)
{
	struct idempotency_probe *p = arg;
	struct err cut;
	bool go_on = p->unknown && !call_refuse_cut(p->call, &cut);

	assert(!a != !e && !(a && p->unknown));
	if (!e)
		mutation_call_answer(p->call, a, replayed);
	else if (!go_on)
		call_reply_err(p->call, p->unknown ? &cut : e);
	p->next(p->arg, !go_on);
	free(p);
}

void mutation_call_probe(struct call *c, const json_t *body, void (*next)(void *arg, bool answered),
			 void *arg)
{
	struct idempotency_probe *p;
	struct idempotency s;
	struct err e;

	assert_loop_thread();
	assert(next);
	if (idempotency_read(c, body, &s, &e)) {
		call_reply_err(c, &e);
		next(arg, true);
		return;
	}
	if (!s.key) {
		next(arg, false);
		return;
	}
	p = xcalloc(1, sizeof(*p));
	*p = (struct idempotency_probe){ .call = c, .next = next, .arg = arg };
	vmm_mutate(api_of(c)->vmm,
		   &(struct mutation){
			   .caller = s.caller,
			   .key = s.key,
			   .digest = s.digest,
			   .workspace = api_scope(c),
			   .apply = probe_apply,
			   .done = probe_done,
		   },
		   p);
}
