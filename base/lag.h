/* SPDX-License-Identifier: Apache-2.0
 * lag.h - how long each turn of the loop takes, and which handler took the longest.
 *
 * All of it belongs to the loop thread.
 */
#ifndef TEEPOD_BASE_LAG_H
#define TEEPOD_BASE_LAG_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum {
	LAG_ENOUGH_MS = 20, /* after that long a turn leaves to the next one what can wait */
	LAG_LONG_MS = 100,  /* a turn that takes longer is logged */
	LAG_BUCKETS = 6,
};

extern const uint32_t lag_bound_ms[LAG_BUCKETS];

struct lag_stats {
	uint64_t bucket[LAG_BUCKETS +
			1]; /* turns that took up to lag_bound_ms[i]; the last: longer */
	uint64_t sum_us;
	uint64_t max_us;
	uint64_t longer; /* than LAG_LONG_MS */
};

/* Before other prepare handles of the loop are started, so that their work is still part of the
 * turn. */
void lag_open(uv_loop_t *loop);
void lag_close(void);
struct lag_stats lag_stats(void);

/* Has this turn taken LAG_ENOUGH_MS already? False where nothing is measured. */
bool lag_enough(void);

/* A part of a turn that has a name. Sections nest; the time of an inner one does not count for
 * the outer. */
struct lag_section {
	struct lag_section *outer;
	const char *kind, *name; /* static: "POST", "/api/v1/preflight" */
	int64_t since_us, inner_us;
};

void lag_begin(struct lag_section *s, const char *kind, const char *name);
void lag_end(struct lag_section *s);

/* From here to the end of the block. */
#define LAG_SECTION(kind, name)                                            \
	__attribute__((cleanup(lag_end))) struct lag_section lag_section_; \
	lag_begin(&lag_section_, kind, name)

#endif
