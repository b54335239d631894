/* SPDX-License-Identifier: Apache-2.0
 * mutation.c - applies a client's change, commits it and answers; replays stored answers.
 *
 * The effect, the answer and its key are committed together or not at all, so a key never has two
 * effects. See mutation.h for the contract and db/turn.h for turns.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/loop.h"
#include "base/own.h"
#include "base/strings.h"
#include "db/idempotency.h"
#include "db/records.h"
#include "db/turn.h"
#include "vmm/node/node.h"
#include "vmm/node/records.h"
#include "vmm/op/mutation.h"

struct pending_mutation {
	struct vmm *v;
	struct mutation m; /* its strings are copies, because it may wait for the database */
	void *arg;
	struct answer answer;
	bool replayed;
};

static char *mutation_copy(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static void pending_mutation_free(struct pending_mutation *p)
{
	free((char *)p->m.caller);
	free((char *)p->m.key);
	free((char *)p->m.digest);
	free(p);
}

static int mutation_replay(struct pending_mutation *p, const struct idempotency_row *row,
			   struct err *e)
{
	if (strcmp(row->digest, p->m.digest) != 0) {
		err_field(e, ERR_CONFLICT, "Idempotency-Key", p->m.key,
			  "this Idempotency-Key was used for another request (method, path, query, "
			  "If-Match, version or body differ)");
		return err_hint(e, "use a new key for a new request");
	}
	p->answer.status = row->status;
	p->answer.body = row->body ? json_stored(row->body) : NULL;
	if (row->body && !p->answer.body)
		return err_set(e, ERR_HOST, "database: idempotency.body of key %s is not JSON",
			       p->m.key);
	p->replayed = true;
	return 0;
}

static int mutation_store_answer(struct pending_mutation *p, struct err *e)
{
	auto_free char *body =
		p->answer.body ? json_dumps(p->answer.body, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	if (p->answer.body && !body)
		return err_set(
			e, ERR_HOST,
			"the answer cannot be stored for its Idempotency-Key: it is not JSON");
	return idempotency_put(vmm_db(p->v), p->m.workspace, p->m.caller, p->m.key, p->m.digest,
			       p->answer.status, body, e);
}

/* A stored answer is never deleted before it expires, so a new one is refused when there is no
 * room. */
static int mutation_has_room(const struct pending_mutation *p, struct err *e)
{
	const struct mutation *m = &p->m;
	enum record_share share = m->gives_back ? RECORDS_GIVE_BACK : RECORDS_REQUEST;
	int r = m->key ? records_allow(p->v, m->workspace, RECORD_ANSWERS, share, e) : 0;

	return r || !m->workspace ? r : records_allow(p->v, m->workspace, RECORD_EVENTS, share, e);
}

static int mutation_turn(void *arg, struct err *e)
{
	struct pending_mutation *p = arg;
	struct idempotency_row row = { 0 };
	int r = p->m.key ? idempotency_get(vmm_db(p->v), p->m.caller, p->m.key, &row, e)
			 : -ERR_NOT_FOUND;

	if (r != -ERR_NOT_FOUND) {
		if (!r)
			r = mutation_replay(p, &row, e);
		free(row.body);
		return r;
	}
	r = mutation_has_room(p, e);
	if (!r)
		r = p->m.apply(p->arg, &p->answer, e);
	return r || !p->m.key ? r : mutation_store_answer(p, e);
}

static void mutation_committed(void *arg, const struct err *e)
{
	struct pending_mutation *p = arg;

	if (e) {
		json_decref(p->answer.body);
		p->m.done(p->arg, NULL, false, e);
	} else {
		p->m.done(p->arg, &p->answer, p->replayed, NULL);
	}
	pending_mutation_free(p);
}

void vmm_mutate(struct vmm *v, const struct mutation *m, void *arg)
{
	struct pending_mutation *p = xcalloc(1, sizeof(*p));

	assert_loop_thread();
	assert(m->apply && m->done && m->caller && (!m->key || m->digest));
	*p = (struct pending_mutation){ .v = v, .m = *m, .arg = arg };
	p->m.caller = mutation_copy(m->caller);
	p->m.key = mutation_copy(m->key);
	p->m.digest = mutation_copy(m->digest);
	turn_run(vmm_turn(v), mutation_turn, mutation_committed, p);
}
