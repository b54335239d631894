/* SPDX-License-Identifier: Apache-2.0
 * turn.h - the turn transaction: group commit without threads.
 *
 * All mutations that arrive in one turn of the loop share one BEGIN IMMEDIATE ... COMMIT, each
 * inside a savepoint of its own. turn_do() runs a mutation now; what it says to the outside
 * (replies, side effects) is registered with turn_after() and leaves when the commit is on disk. A
 * mutation that fails is rolled back alone; a commit that fails takes the whole turn back.
 *
 * Once the loop runs, nothing here waits longer than 20 ms for another process that writes to the
 * database: see turn_run().
 */
#ifndef TEEPOD_DB_TURN_H
#define TEEPOD_DB_TURN_H

#include <uv.h>

#include "base/err.h"
#include "db/db.h"

struct turn;

struct turn *turn_new(uv_loop_t *loop, struct db *db);
/* Commits what is open, then closes its handles; freed by the loop. */
void turn_close(struct turn *t);

/* Run @fn in a savepoint of this turn's transaction. Returns what it returned; negative rolls the
 * savepoint back. Nests. ERR_UNAVAILABLE at once, or after 20 ms, while another process holds the
 * write lock of the database: for callers that try again by themselves. */
int turn_do(struct turn *t, int (*fn)(void *arg, struct err *e), void *arg, struct err *e);

/* @fn(@arg, NULL) after this turn was committed, @fn(@arg, why) when it does not exist: the commit
 * failed, or the turn_do() that registered it (or one around that) failed. Always told, exactly
 * once, on the loop thread when the turn is over, in the order of registration: never from inside
 * the turn_do() that fails. Outside of turn_do(), and without an open transaction, it is told NULL
 * at the end of this turn all the same. */
void turn_after(struct turn *t, void (*fn)(void *arg, const struct err *e), void *arg);

/* turn_do(@fn) and turn_after(@done) in one, outside of other turn_do()s. While another process
 * holds the write lock of the database it is kept, in order, and tried again for up to 2 s.
 * @done(@arg, why) when @fn failed, its commit failed, or the lock did not go away
 * (ERR_UNAVAILABLE); it may come before turn_run() returns. */
void turn_run(struct turn *t, int (*fn)(void *arg, struct err *e),
	      void (*done)(void *arg, const struct err *e), void *arg);
/* Those that wait in turn_run() are told now that it failed. */
void turn_cancel_waiting(struct turn *t);

/* For who only reads, outside of turn_do(): @fn(@arg) while no transaction is open, now or right
 * after the end of the one that is. All share one connection, so a read in between would see what
 * is not committed, and may never be. Told once, on the loop thread. */
void turn_read(struct turn *t, void (*fn)(void *arg), void *arg);
bool turn_is_open(const struct turn *t);

/* @fn(@arg) after every commit that kept a turn_do(), in the order of registration and before the
 * callbacks of turn_after(), which may open the next transaction; for those who follow the event
 * log. Returns a ticket for turn_unwatch(). */
void *turn_watch(struct turn *t, void (*fn)(void *arg), void *arg);
void turn_unwatch(struct turn *t, void *ticket);

/* Commits so far, and microseconds they took in all. */
void turn_stats(const struct turn *t, uint64_t *commits, uint64_t *us);

#endif
