/* SPDX-License-Identifier: Apache-2.0
 * policies.h - what the node does with a CVM by itself: restart, automatic start, drain. For the
 * common rules of these functions see db.h.
 */
#ifndef TEEPOD_DB_POLICIES_H
#define TEEPOD_DB_POLICIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"
#include "db/operations.h"

enum restart_policy { RESTART_ON_CRASH, RESTART_NEVER, RESTART_ALWAYS, RESTART_POLICIES };

/* How the guest came to its end, as far as that decides about its next start. */
enum ended {
	ENDED_NOT,     /* it runs, or never did */
	ENDED_OFF,     /* in an orderly way: it powered off, or somebody ended it */
	ENDED_CRASHED, /* QEMU died */
	ENDED_FAILED,  /* a start by ourselves failed */
	ENDED_LOST,    /* nobody saw it, as when the host went down */
	ENDED_MAX
};

/* What the node is to do with it when it is its turn (pace.c). */
enum turn_for { TURN_NONE, TURN_START, TURN_DRAIN, TURN_DRAINED, TURN_MAX };

extern const char *const restart_policy_word[RESTART_POLICIES];

extern const char *const ended_word[ENDED_MAX];

extern const char *const turn_word[TURN_MAX];

struct cvm_policy {
	int64_t generation; /* counts changes of what a client sets; see schema.c */
	enum restart_policy restart;
	bool auto_start;
	int64_t start_order; /* lower first */
	/* Where the policies are with it. */
	enum ended ended;
	enum turn_for turn;
	int64_t attempts, next_ms; /* restarts since the last good run; when the next one is due
				      (wall clock), 0 = none */
	bool exhausted;            /* no more of them */
};

/* The three a client sets. */
int cvms_set_policy(struct db *db, int64_t id, const struct cvm_policy *p, struct err *e);
/* How it ended; ENDED_NOT also clears a start that was due. */
int cvms_set_ended(struct db *db, int64_t id, enum ended ended, struct err *e);
/* Attempts, next one due, exhausted. */
int cvms_set_restart(struct db *db, int64_t id, int64_t attempts, int64_t next_ms, bool exhausted,
		     struct err *e);
int cvms_set_turn(struct db *db, int64_t id, enum turn_for turn, struct err *e);
/* All that are @from become @to. Returns how many. */
int cvms_move_turns(struct db *db, enum turn_for from, enum turn_for to, struct err *e);
/* Wanted running, down, nobody saw why, none is working on it, and it may be started by itself: it
 * is its turn to start. Returns how many. */
int cvms_turn_to_start(struct db *db, struct err *e);
/* Those that run, or would by themselves (a start under way, a restart due), are to be shut down.
 * Returns how many. */
int cvms_turn_to_drain(struct db *db, struct err *e);

struct drain_counts {
	int64_t waiting, under_way; /* to be shut down; being shut down */
	int64_t running,
		down; /* did not go down in time; are down, and start again when maintenance ends */
	int64_t starting; /* wait for their turn to start */
};

int cvms_drain_counts(struct db *db, struct drain_counts *ret, struct err *e);

/* Operations under way that the node began by itself: all of them, those of @kind, and what
 * start_orders these have. */
struct turn_load {
	int64_t n, of_kind, lowest, highest;
};

/* Whose turn it is next: the lowest (start_order, id) to start, or the highest to be shut down. Not
 * one that is worked on. */
int cvms_next_turn(struct db *db, enum turn_for turn, int64_t *ret_id, int64_t *ret_order,
		   struct err *e);
int cvms_automatic_load(struct db *db, enum op_kind kind, struct turn_load *ret, struct err *e);

/* CVMs wanted running that the restart policy may have to look at: down, or with attempts behind
 * them. *ret malloc'd. */
struct restart_row {
	int64_t id;
	enum restart_policy policy;
	enum ended ended;
	int64_t attempts, next_ms, started_ms, stopped_ms;
	bool exhausted, busy; /* an operation runs */
};

int cvms_restarts(struct db *db, struct restart_row **ret, size_t *n, struct err *e);

#endif
