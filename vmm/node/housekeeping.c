/* SPDX-License-Identifier: Apache-2.0
 * housekeeping.c - delete old rows and shrink the database file, a portion at a time.
 *
 * The first portion is deleted while the node is opened. After that there is one portion a minute,
 * or one every KEEP_MORE_MS while there is more to delete, so that no turn of the loop takes long.
 * When pages were given back, a checkpoint makes the file shorter.
 *
 * See records.c for what is deleted, and db.c for db_shrink() and db_checkpoint().
 */
#include "vmm/node/housekeeping.h"

#include <assert.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/log.h"
#include "base/loop.h"
#include "db/db.h"
#include "db/turn.h"
#include "vmm/node/node.h"
#include "vmm/node/records.h"
#include "vmm/node/settings.h"

/* Time between two portions: usually, after a full portion, after a failure. */
enum { KEEP_EVERY_MS = 60 * 1000, KEEP_MORE_MS = 50, KEEP_AGAIN_MS = 60 * 1000 };

struct housekeeping {
	struct loop_timer *timer;
	bool more_to_prune;  /* the last portion of old rows was a full one */
	bool checkpoint_due; /* for the file to get shorter */
	struct shrink_round rounds[RECORDS];
};

struct housekeeping *housekeeping_new(void)
{
	return xcalloc(1, sizeof(struct housekeeping));
}

void housekeeping_free(struct housekeeping *h)
{
	assert(!h || !h->timer);
	free(h);
}

int housekeeping_prune(struct vmm *v, struct err *e)
{
	struct housekeeping *h = vmm_housekeeping(v);
	int given, r = records_prune(v, h->rounds, &h->more_to_prune, e);

	if (r)
		return r;
	given = db_shrink(vmm_db(v), e);
	if (given < 0)
		return given;
	h->more_to_prune |= given > 0;
	h->checkpoint_due |= given > 0;
	return 0;
}

static int housekeeping_turn(void *arg, struct err *e)
{
	return housekeeping_prune(arg, e);
}

static void housekeeping_run(void *arg)
{
	struct vmm *v = arg;
	struct housekeeping *h = vmm_housekeeping(v);
	struct err e;

	assert(!vmm_is_closing(v));
	if (h->checkpoint_due && !h->more_to_prune)
		h->checkpoint_due = !db_checkpoint(vmm_db(v));
	if (turn_do(vmm_turn(v), housekeeping_turn, v, &e) < 0) {
		log_warn("cannot delete old rows: %s", e.text);
		(void)loop_after(vmm_settings(v)->loop, KEEP_AGAIN_MS, housekeeping_run, v,
				 &h->timer);
		return;
	}
	housekeeping_begin(v);
}

void housekeeping_begin(struct vmm *v)
{
	struct housekeeping *h = vmm_housekeeping(v);
	bool more = h->more_to_prune || h->checkpoint_due;

	assert_loop_thread();
	assert(!h->timer);
	(void)loop_after(vmm_settings(v)->loop, more ? KEEP_MORE_MS : KEEP_EVERY_MS,
			 housekeeping_run, v, &h->timer);
}

void housekeeping_stop(struct vmm *v)
{
	loop_after_cancel(&vmm_housekeeping(v)->timer);
}
