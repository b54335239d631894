/* SPDX-License-Identifier: Apache-2.0
 * policies.h - what the node does with a CVM without a request: restart, automatic start, drain.
 * The rules for all row functions: db.h.
 */
#ifndef TEEPOD_DB_POLICIES_H
#define TEEPOD_DB_POLICIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/db.h"
#include "db/operations.h"

enum restart_policy { RESTART_ON_CRASH, RESTART_NEVER, RESTART_ALWAYS, RESTART_POLICIES };

/* How the guest ended, as far as it matters for its next start. */
enum ended {
	ENDED_NOT,     /* it runs or never ran */
	ENDED_OFF,     /* it powered off, or it was stopped */
	ENDED_CRASHED, /* QEMU died */
	ENDED_FAILED,  /* an automatic start failed */
	ENDED_LOST,    /* not observed, for example because the host went down */
	ENDED_MAX
};

/* What the node will do with the CVM when it is its turn: see vmm/cvm/pace.c. */
enum turn_for { TURN_NONE, TURN_START, TURN_DRAIN, TURN_DRAINED, TURN_MAX };

extern const char *const restart_policy_word[RESTART_POLICIES];

extern const char *const ended_word[ENDED_MAX];

extern const char *const turn_word[TURN_MAX];

struct cvm_policy {
	int64_t generation; /* incremented by each change a client makes; see schema.c */
	enum restart_policy restart;
	bool auto_start;
	int64_t start_order; /* lower first */
	/* State of the policies. */
	enum ended ended;
	enum turn_for turn;
	int64_t attempts, next_ms; /* restarts since the last good run; time of the next one (wall
				 clock), 0 = none */
	bool exhausted;            /* no more restarts */
};

/* Set restart, auto_start and start_order. */
int cvms_set_policy(struct db *db, int64_t id, const struct cvm_policy *p, struct err *e);
/* Set how the guest ended. ENDED_NOT also cancels a planned restart. */
int cvms_set_ended(struct db *db, int64_t id, enum ended ended, struct err *e);
/* Set the state of the restart policy. @next_ms: wall clock, 0 = none. */
int cvms_set_restart(struct db *db, int64_t id, int64_t attempts, int64_t next_ms, bool exhausted,
		     struct err *e);
int cvms_set_turn(struct db *db, int64_t id, enum turn_for turn, struct err *e);
/* Change all CVMs with turn @from to @to. Returns their number. */
int cvms_move_turns(struct db *db, enum turn_for from, enum turn_for to, struct err *e);
/* Set TURN_START for CVMs that are wanted running, are down for an unobserved reason, have
 * auto_start and no operation. Returns their number. */
int cvms_turn_to_start(struct db *db, struct err *e);
/* Set TURN_DRAIN for CVMs that run or will run soon (an operation in progress, a restart planned).
 * Returns their number. */
int cvms_turn_to_drain(struct db *db, struct err *e);

struct drain_counts {
	int64_t waiting, under_way; /* to be shut down; being shut down now */
	int64_t running, down;      /* did not shut down in time; are down, and start again after
			       maintenance */
	int64_t starting;           /* waiting to be started */
};

int cvms_drain_counts(struct db *db, struct drain_counts *ret, struct err *e);

/* Operations that the node started without a request and that are queued or running: all, those of
 * one kind, and the range of start_order of these. */
struct turn_load {
	int64_t n, of_kind, lowest, highest;
};

/* The next CVM with @turn and without an operation: the lowest (start_order, id) to start, the
 * highest to shut down. */
int cvms_next_turn(struct db *db, enum turn_for turn, int64_t *ret_id, int64_t *ret_order,
		   struct err *e);
int cvms_automatic_load(struct db *db, enum op_kind kind, struct turn_load *ret, struct err *e);

/* A CVM that the restart policy may have to handle. */
struct restart_row {
	int64_t id;
	enum restart_policy policy;
	enum ended ended;
	int64_t attempts, next_ms, started_ms, stopped_ms;
	bool exhausted, busy; /* it has an operation */
};

/* CVMs wanted running that are down or have restart attempts. Bad rows are logged and skipped. */
int cvms_restarts(struct db *db, struct restart_row **ret, size_t *n, struct err *e);

#endif
