/* SPDX-License-Identifier: Apache-2.0
 * body_budget.c - limit of the memory for long request bodies.
 *
 * A share is reserved when the head of a request is accepted, before a byte of the body arrives,
 * and released when the request is answered. There are limits for all callers together, for a
 * workspace, and for one caller. A caller may own many keys, so its workspace needs a limit too.
 * Operators are not bound by the limit of their workspace.
 *
 * Invariant: held is the sum of the bytes of all shares in the list.
 */
#include "api/http/body_budget.h"

#include <assert.h>
#include <string.h>

enum {
	MIB = 1024 * 1024,
	HELD_MAX = 256 * MIB,
	HELD_WORKSPACE_MAX = 128 * MIB,
	HELD_CALLER_MAX = 64 * MIB
};

bool caller_equal(const struct caller *a, const struct caller *b)
{
	return a->key_id == b->key_id && !strcmp(a->name, b->name);
}

static int body_budget_exceeded(struct err *e, const char *whose, uint64_t max)
{
	return err_set(e, ERR_UNAVAILABLE,
		       "unanswered request bodies %s already take %llu MiB; try again later", whose,
		       (unsigned long long)max / MIB);
}

int body_budget_reserve(struct body_budget *b, struct body_share *s, const struct caller *caller,
			uint64_t length, struct err *e)
{
	uint64_t own = length, workspace = length;
	const struct body_share *other = NULL;

	assert(!s->budget);
	if (length <= BODY_LONG_BYTES)
		return 0;
	LIST_FOREACH(other, &b->shares, all)
	{
		own += caller_equal(other->caller, caller) ? other->bytes : 0;
		workspace += other->caller->workspace == caller->workspace ? other->bytes : 0;
	}
	if (own > HELD_CALLER_MAX)
		return body_budget_exceeded(e, "of this caller", HELD_CALLER_MAX);
	if (workspace > HELD_WORKSPACE_MAX && caller->role < ROLE_OPERATOR)
		return body_budget_exceeded(e, "of this workspace", HELD_WORKSPACE_MAX);
	if (b->held + length > HELD_MAX)
		return body_budget_exceeded(e, "of all callers", HELD_MAX);
	*s = (struct body_share){ .budget = b, .caller = caller, .bytes = length };
	b->held += length;
	LIST_INSERT_HEAD(&b->shares, s, all);
	return 0;
}

void body_budget_release(struct body_share *s)
{
	if (!s->budget)
		return;
	assert(s->budget->held >= s->bytes);
	s->budget->held -= s->bytes;
	LIST_REMOVE(s, all);
	assert(!LIST_EMPTY(&s->budget->shares) || s->budget->held == 0);
	s->budget = NULL;
}
