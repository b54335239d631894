/* SPDX-License-Identifier: Apache-2.0
 * records.c - limit the rows that a workspace adds to the database besides those of its CVMs.
 *
 * Provisions and revisions are checked after a new row was written, in the same transaction. The
 * oldest rows that nothing refers to are deleted until the new row fits; if that is not enough, the
 * request is refused. Housekeeping deletes rows down to HIGH(limit), so that a request seldom has
 * to.
 *
 * Stored answers to Idempotency-Keys, and events, are kept for a documented time and not deleted
 * before it. A workspace that has used up its limit is refused before the request is applied.
 * Requests that release resources (delete, stop) may use 125 % of the limit, and events caused by a
 * guest only 50 %, so that a hostile guest cannot block its owner. Operations are limited by number
 * (ops_trim()).
 *
 * Actions of the node itself are never refused by these limits. The event log of all workspaces
 * together also has a limit; above it the oldest events are deleted early.
 */
#include <assert.h>

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

/* Bytes freed in one turn: as much as one request can write (a body, and the history
 * entries of its replicas). */
enum { FREED_MAX = 1024 * 1024 + 128 * 1024 };
#define HIGH(limit) ((limit) - (limit) / 8)

static const struct {
	const char *resource, *hint;
	int (*drop)(struct db *db, int64_t workspace, int most, struct err *e);
} records[RECORDS] = {
	[RECORD_PROVISIONS] = { "provisions_bytes",
				"use the open provisions, or let them expire; an operator can "
				"raise "
				"records.provisions",
				provisions_drop },
	[RECORD_REVISIONS] = { "revisions_bytes",
			       "delete a CVM, or make its manifest shorter; an operator can raise "
			       "records.revisions",
			       history_drop },
	[RECORD_ANSWERS] = { "answers_bytes",
			     "send the request without Idempotency-Key, or later; an operator can "
			     "raise "
			     "records.answers",
			     NULL },
	[RECORD_EVENTS] = { "events_bytes",
			    "delete and stop still work; an operator can raise records.events or "
			    "lower "
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
		  "the %s of this workspace take %lld bytes in the database; allowed: %lld "
		  "(records.%s)",
		  record_word[kind], (long long)bytes, (long long)limit, record_word[kind]);
	if (oldest)
		e->retry_s = wait > 1000 ? (unsigned)(wait / 1000) : 1;
	return err_hint(e, "%s", records[kind].hint);
}

/* Delete the oldest rows until *@bytes is at most @to, or FREED_MAX bytes were freed. A row has up
 * to 1 MiB, so one statement deletes at most DROPPED_AT_ONCE rows. Returns the number of rows
 * deleted. */
static int records_drop_oldest(struct vmm *v, int64_t workspace, enum record kind, int64_t to,
			       int64_t *bytes, struct err *e)
{
	int64_t before = *bytes;
	int dropped = 0, most = 1, n = 1, r = 0;

	assert(records[kind].drop);
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
		r = records_drop_oldest(v, workspace, kind, limit, &bytes, e);
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

/* Delete old rows of one workspace above HIGH of its limit. The workspaces take turns, whatever
 * their size. A round that deleted anything is followed by another one. */
static int records_shrink(struct vmm *v, enum record kind, struct shrink_round *s, bool *more,
			  struct err *e)
{
	int64_t high = HIGH(vmm_settings(v)->record_limit[kind]), workspace = 0, bytes = 0;
	int r = high ? records_over(vmm_db(v), kind, high, s->after, &workspace, e) : 0;

	if (!r && workspace)
		r = records_bytes(vmm_db(v), workspace, kind, &bytes, e);
	if (!r && workspace)
		r = records_drop_oldest(v, workspace, kind, high, &bytes, e);
	if (r < 0)
		return r;
	s->dropped |= r > 0;
	*more |= workspace || s->dropped;
	s->dropped &= workspace != 0;
	s->after = workspace;
	return 0;
}

static int records_prune_events(struct vmm *v, int64_t now_ms, struct err *e)
{
	int64_t total = 0, before = now_ms - kept_ms(v, RECORD_EVENTS);
	int r = vmm_settings(v)->max_events_bytes
			? records_total(vmm_db(v), RECORD_EVENTS, &total, e)
			: 0;

	return r ? r
		 : events_prune(vmm_db(v),
				total > vmm_settings(v)->max_events_bytes ? INT64_MAX : before, e);
}

/* Set *@more if @n rows are a full portion: more old rows may exist. Returns 0, or @n if it is an
 * error. */
static int records_note_portion(int n, int portion, bool *more)
{
	*more |= n >= portion;
	return n < 0 ? n : 0;
}

int records_prune(struct vmm *v, struct shrink_round rounds[RECORDS], bool *ret_more, struct err *e)
{
	int64_t now = clock_wall_ms(), day = 24LL * 3600 * 1000;
	bool more = false;
	int r = records_note_portion(
		ops_prune(vmm_db(v), now - day * vmm_settings(v)->keep_operation_days, e),
		PRUNE_MAX, &more);

	if (!r)
		r = records_note_portion(records_prune_events(v, now, e), PRUNE_MAX, &more);
	if (!r)
		r = records_note_portion(
			idempotency_prune(vmm_db(v), now - kept_ms(v, RECORD_ANSWERS), e),
			PRUNE_MAX, &more);
	if (!r)
		r = records_note_portion(provisions_prune(vmm_db(v), now, e), PRUNE_LONG, &more);
	if (!r)
		r = records_note_portion(keys_prune(vmm_db(v), now - KEYS_KEPT_MS, e), PRUNE_MAX,
					 &more);
	if (!r)
		r = records_shrink(v, RECORD_PROVISIONS, &rounds[RECORD_PROVISIONS], &more, e);
	if (!r)
		r = records_shrink(v, RECORD_REVISIONS, &rounds[RECORD_REVISIONS], &more, e);
	if (!r)
		*ret_more = more;
	return r;
}
