/* SPDX-License-Identifier: Apache-2.0
 * records.c - limits of what a workspace makes the database grow by without holding a CVM for it.
 *
 * Provisions and revisions are limited after they were written, in the same transaction: the oldest
 * that nothing needs are dropped until the new one fits, and if that is not enough the request is
 * refused. Housekeeping drops from HIGH of the limit on, so that a request seldom has to. Answers
 * to Idempotency-Keys and events are promised for a time, so none is dropped: a workspace that has
 * used its share up is refused before anything is applied. What gives back (a delete, a stop) has a
 * quarter of the share more; what a guest says has half of the share, so that a hostile guest does
 * not lock its owner out. Operations are limited by number (ops_trim()).
 *
 * What the node does by itself is never refused for this. The event log as a whole has a limit,
 * too; beyond it the oldest events go before their time.
 */
#include "base/clock.h"
#include "db/apps.h"
#include "db/events.h"
#include "db/history.h"
#include "db/idempotency.h"
#include "db/keys.h"
#include "db/operations.h"
#include "db/records.h"
#include "vmm/node/node.h"
#include "vmm/node/records.h"
#include "vmm/node/settings.h"

enum { KEYS_KEPT_MS = 24 * 3600 * 1000, DROPPED_AT_ONCE = 8 };

/* Freed in one turn: what one request writes at most, a body and the entries of its replicas. */
enum { FREED_MAX = 1024 * 1024 + 128 * 1024 };
#define HIGH(limit) ((limit) - (limit) / 8)

static const struct {
	const char *resource, *hint;
	int (*drop)(struct db *db, int64_t workspace, int most, struct err *e);
} records[RECORDS] = {
	[RECORD_PROVISIONS] = { "provisions_bytes",
				"use those that wait, or let them expire; an operator can raise "
				"records.provisions",
				provisions_drop },
	[RECORD_REVISIONS] = { "revisions_bytes",
			       "delete a CVM, or make its manifest shorter; an operator can raise "
			       "records.revisions",
			       history_drop },
	[RECORD_ANSWERS] = { "answers_bytes",
			     "ask without Idempotency-Key, or later; an operator can raise "
			     "records.answers",
			     NULL },
	[RECORD_EVENTS] = { "events_bytes",
			    "delete and stop go on; an operator can raise records.events or lower "
			    "events.keep_days",
			    NULL },
};

static int64_t kept_ms(const struct vmm *v, enum record kind)
{
	return kind == RECORD_ANSWERS  ? 3600000LL * vmm_settings(v)->keep_idempotency_hours
	       : kind == RECORD_EVENTS ? 24LL * 3600000 * vmm_settings(v)->keep_event_days
				       : PROVISION_KEPT_MS;
}

static int records_refuse(struct vmm *v, int64_t workspace, enum record kind, int64_t bytes,
			  struct err *e)
{
	int64_t limit = vmm_settings(v)->record_limit[kind], oldest = 0, wait;
	int r = records_oldest(vmm_db(v), workspace, kind, &oldest, e);

	if (r)
		return r;
	wait = oldest + kept_ms(v, kind) - clock_wall_ms();
	err_share(e, ERR_QUOTA, records[kind].resource, bytes < limit ? 1 : bytes - limit + 1, 0,
		  limit,
		  "the %s of this workspace take %lld bytes in the database, allowed are %lld "
		  "(records.%s)",
		  record_word[kind], (long long)bytes, (long long)limit, record_word[kind]);
	if (oldest)
		e->retry_s = wait > 1000 ? (unsigned)(wait / 1000) : 1;
	return err_hint(e, "%s", records[kind].hint);
}

/* Drop the oldest rows until @bytes is at most @to, or FREED_MAX was freed. The size of the next
 * rows is not known (up to 1 MiB each), so a statement drops at most DROPPED_AT_ONCE of them.
 * Returns the number of rows dropped. */
static int drop_oldest(struct vmm *v, int64_t workspace, enum record kind, int64_t to,
		       int64_t *bytes, struct err *e)
{
	int64_t before = *bytes;
	int dropped = 0, most = 1, n = 1, r = 0;

	while (!r && n > 0 && *bytes > to && before - *bytes < FREED_MAX) {
		n = records[kind].drop(vmm_db(v), workspace, most, e);
		r = n < 0 ? n : records_bytes(vmm_db(v), workspace, kind, bytes, e);
		dropped += n;
		most = most < DROPPED_AT_ONCE ? most * 2 : most;
	}
	return r ? r : dropped;
}

int records_fit(struct vmm *v, int64_t workspace, enum record kind, struct err *e)
{
	int64_t limit = vmm_settings(v)->record_limit[kind], bytes = 0;
	int r = limit ? records_bytes(vmm_db(v), workspace, kind, &bytes, e) : 0;

	if (!r && limit && bytes - limit < FREED_MAX)
		r = drop_oldest(v, workspace, kind, limit, &bytes, e);
	return r < 0                      ? r
	       : bytes <= limit || !limit ? 0
					  : records_refuse(v, workspace, kind, bytes, e);
}

int records_allow(struct vmm *v, int64_t workspace, enum record kind, enum record_share share,
		  struct err *e)
{
	int64_t limit = vmm_settings(v)->record_limit[kind], bytes = 0;
	int r = limit ? records_bytes(vmm_db(v), workspace, kind, &bytes, e) : 0;

	if (r || !limit || bytes < limit / 100 * share + limit % 100 * share / 100)
		return r;
	return records_refuse(v, workspace, kind, bytes, e);
}

/* ------------------------------------------------------------------ housekeeping */

/* Of the next workspace that is near its limit, or above one that was lowered. Each has its turn,
 * however much the others have; the round is repeated while it drops anything. */
static int shrink(struct vmm *v, enum record kind, struct shrink_round *s, bool *more,
		  struct err *e)
{
	int64_t high = HIGH(vmm_settings(v)->record_limit[kind]), workspace = 0, bytes = 0;
	int r = high ? records_over(vmm_db(v), kind, high, s->after, &workspace, e) : 0;

	if (!r && workspace)
		r = records_bytes(vmm_db(v), workspace, kind, &bytes, e);
	if (!r && workspace)
		r = drop_oldest(v, workspace, kind, high, &bytes, e);
	if (r < 0)
		return r;
	s->dropped |= r > 0;
	*more |= workspace || s->dropped;
	s->dropped &= workspace != 0;
	s->after = workspace;
	return 0;
}

static int prune_events(struct vmm *v, int64_t now_ms, struct err *e)
{
	int64_t total = 0, before = now_ms - kept_ms(v, RECORD_EVENTS);
	int r = vmm_settings(v)->max_events_bytes
			? records_total(vmm_db(v), RECORD_EVENTS, &total, e)
			: 0;

	return r ? r
		 : events_prune(vmm_db(v),
				total > vmm_settings(v)->max_events_bytes ? INT64_MAX : before, e);
}

/* A full portion of @n rows: there may be more to forget. */
static int worth_more(int n, int portion, bool *more)
{
	*more |= n >= portion;
	return n < 0 ? n : 0;
}

int records_prune(struct vmm *v, struct shrink_round rounds[RECORDS], bool *ret_more, struct err *e)
{
	int64_t now = clock_wall_ms(), day = 24LL * 3600 * 1000;
	bool more = false;
	int r = worth_more(
		ops_prune(vmm_db(v), now - day * vmm_settings(v)->keep_operation_days, e),
		PRUNE_MAX, &more);

	if (!r)
		r = worth_more(prune_events(v, now, e), PRUNE_MAX, &more);
	if (!r)
		r = worth_more(idempotency_prune(vmm_db(v), now - kept_ms(v, RECORD_ANSWERS), e),
			       PRUNE_MAX, &more);
	if (!r)
		r = worth_more(provisions_prune(vmm_db(v), now, e), PRUNE_LONG, &more);
	if (!r)
		r = worth_more(keys_prune(vmm_db(v), now - KEYS_KEPT_MS, e), PRUNE_MAX, &more);
	if (!r)
		r = shrink(v, RECORD_PROVISIONS, &rounds[RECORD_PROVISIONS], &more, e);
	if (!r)
		r = shrink(v, RECORD_REVISIONS, &rounds[RECORD_REVISIONS], &more, e);
	if (!r)
		*ret_more = more;
	return r;
}
