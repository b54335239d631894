/* SPDX-License-Identifier: Apache-2.0
 * turn.h - the turn transaction: group commit without threads.
 *
 * All mutations that arrive in one turn of the loop share one BEGIN IMMEDIATE ... COMMIT, each inside a savepoint of its
 * own. turn_do() runs a mutation now; what it says to the outside (replies, side effects) is registered with turn_after() and
 * leaves when the commit is on disk. A mutation that fails is rolled back alone; a commit that fails takes the whole turn back
 * and tells every turn_after().
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

/* Run @fn in a savepoint of this turn's transaction. Returns what it returned; negative rolls the savepoint back. Nests. */
int turn_do(struct turn *t, int (*fn)(void *arg, struct err *e), void *arg, struct err *e);

/* @fn(@arg, NULL) after this turn was committed, @fn(@arg, why) when the commit failed. Runs on the loop thread, in order. Without
 * an open transaction it runs at the end of this turn all the same. */
void turn_after(struct turn *t, void (*fn)(void *arg, const struct err *e), void *arg);

/* @fn(@arg) after every commit, in the order of registration; for those who follow the event log. Returns a ticket for turn_unwatch(). */
void *turn_watch(struct turn *t, void (*fn)(void *arg), void *arg);
void turn_unwatch(struct turn *t, void *ticket);

/* Commits so far, and microseconds they took in all. */
void turn_stats(const struct turn *t, uint64_t *commits, uint64_t *us);

#endif
