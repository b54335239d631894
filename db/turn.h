/* SPDX-License-Identifier: Apache-2.0
 * turn.h - the turn transaction: group commit without threads.
 *
 * All mutations of one turn of the loop share one BEGIN IMMEDIATE ... COMMIT, each in its own
 * savepoint. turn_do() runs a mutation now. Its replies and other side effects are registered with
 * turn_after() and run when the commit is on disk. A failed mutation is rolled back alone; a failed
 * commit rolls back the whole turn. Loop thread only.
 *
 * While the loop runs, nothing here waits longer than 20 ms for another process that writes to the
 * database: see turn_run().
 */
#ifndef TEEPOD_DB_TURN_H
#define TEEPOD_DB_TURN_H

#include <uv.h>

#include "base/err.h"
#include "db/db.h"

struct turn;

struct turn *turn_new(uv_loop_t *loop, struct db *db);
/* Commit the open transaction and close the handles. @t is freed later by the loop. */
void turn_close(struct turn *t);

/* Run @fn in a savepoint of this turn's transaction and return its result; a negative result rolls
 * the savepoint back. May be nested, up to 4 levels. ERR_UNAVAILABLE, after at most 20 ms, while
 * another process holds the write lock of the database: for callers that retry themselves. */
int turn_do(struct turn *t, int (*fn)(void *arg, struct err *e), void *arg, struct err *e);

/* Call @fn when the turn is over: with NULL if it was committed, with the error if not. It was not
 * committed if the commit failed, or the turn_do() that registered @fn, or an enclosing one,
 * failed.
 * @fn is called exactly once, in the order of registration, never from inside turn_do(). Without an
 * open transaction it is called with NULL at the end of this turn. */
void turn_after(struct turn *t, void (*fn)(void *arg, const struct err *e), void *arg);

/* turn_do(@fn), then turn_after(@done); not inside turn_do(). While another process holds the write
 * lock of the database @fn is queued, in order, and retried for up to 2 s. @done gets an error if
 * @fn or its commit failed, or if the lock was not released (ERR_UNAVAILABLE). @done may be called
 * before turn_run() returns. */
void turn_run(struct turn *t, int (*fn)(void *arg, struct err *e),
	      void (*done)(void *arg, const struct err *e), void *arg);
/* Fail the queued calls of turn_run() now. */
void turn_cancel_waiting(struct turn *t);

/* For readers, not inside turn_do(): call @fn once while no transaction is open, now or right after
 * the end of the open one. There is one connection, so a read inside the transaction would see
 * changes that may never be committed. */
void turn_read(struct turn *t, void (*fn)(void *arg), void *arg);
bool turn_is_open(const struct turn *t);

/* Call @fn after every commit with at least one successful turn_do(), in the order of registration
 * and before the callbacks of turn_after(), which may open the next transaction. For followers of
 * the event log. Returns a ticket for turn_unwatch(). */
void *turn_watch(struct turn *t, void (*fn)(void *arg), void *arg);
void turn_unwatch(struct turn *t, void *ticket);

/* Number of commits, and the time they took in microseconds. */
void turn_stats(const struct turn *t, uint64_t *commits, uint64_t *us);

#endif
