/* SPDX-License-Identifier: Apache-2.0
 * cvm_states.h - the state of CVMs: desired, observed, paused, boots. The rules for all row
 * functions: db.h.
 */
#ifndef TEEPOD_DB_CVM_STATES_H
#define TEEPOD_DB_CVM_STATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"

enum desired { DESIRED_STOPPED, DESIRED_RUNNING, DESIRED_DELETED, DESIRED_MAX };

enum observed {
	OBSERVED_ABSENT,
	OBSERVED_OFF,
	OBSERVED_CRASHED,
	OBSERVED_RUNNING,
	OBSERVED_PAUSED,
	OBSERVED_MAX
};

/* Why a guest is paused. PAUSED_NOT: it is not paused. */
enum paused { PAUSED_NOT, PAUSED_NOSPC, PAUSED_IOERROR, PAUSED_OTHER, PAUSED_MAX };

extern const char *const desired_word[DESIRED_MAX];

extern const char *const observed_word[OBSERVED_MAX];

extern const char *const paused_word[PAUSED_MAX]; /* "", "nospc", "ioerror", "other" */

/* A CVM that the hypervisor may have. */
struct cvm_seen {
	int64_t id;
	char uuid[UUID_TEXT];
	enum observed observed;
	enum paused paused;
};

/* CVMs observed before or wanted running. *ret is malloc'd. Bad rows are logged and skipped. */
int cvms_seen(struct db *db, struct cvm_seen **ret, size_t *n, struct err *e);
/* CVMs paused because the host's file system is full and wanted running, oldest first. *ret is
 * malloc'd. Bad rows are logged and skipped. */
int cvms_without_space(struct db *db, struct cvm_seen **ret, size_t *n, struct err *e);
/* Number of CVMs by state, for metrics. Bad rows are logged and not counted. */
int cvms_count(struct db *db, int64_t count[DESIRED_MAX][OBSERVED_MAX], struct err *e);
int cvms_set_desired(struct db *db, int64_t id, enum desired d, struct err *e);
/* @p is PAUSED_NOT unless @o is OBSERVED_PAUSED. */
int cvms_set_observed(struct db *db, int64_t id, enum observed o, enum paused p, struct err *e);
int cvms_set_holds_cpu(struct db *db, int64_t id, bool holds, struct err *e);
/* Start a new boot: increment its number, set the start time, clear progress and errors. */
int cvms_begin_boot(struct db *db, int64_t id, int64_t now_ms, int64_t *ret_boot, struct err *e);
int cvms_set_stopped(struct db *db, int64_t id, int64_t now_ms, struct err *e);
/* @which: "boot_progress", "boot_error", "shutdown_progress". */
int cvms_set_progress(struct db *db, int64_t id, const char *which, const char *text,
		      struct err *e);

#endif
