/* SPDX-License-Identifier: Apache-2.0
 * lag.h - duration of each turn of the loop, and its slowest handler.
 *
 * Loop thread only.
 */
#ifndef TEEPOD_BASE_LAG_H
#define TEEPOD_BASE_LAG_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

enum {
	LAG_ENOUGH_MS = 20, /* after this time a turn postpones what can wait */
	LAG_LONG_MS = 100,  /* a turn that takes longer is logged */
	LAG_BUCKETS = 6,
};

extern const uint32_t lag_bound_ms[LAG_BUCKETS];

struct lag_stats {
	uint64_t bucket[LAG_BUCKETS +
			1]; /* number of turns of up to lag_bound_ms[i]; the last: longer */
	uint64_t sum_us;
	uint64_t max_us;
	uint64_t longer; /* number of turns longer than LAG_LONG_MS */
};

/* Call before other prepare handles of the loop are started, so that their work counts for the
 * turn. */
void lag_open(uv_loop_t *loop);
void lag_close(void);
struct lag_stats lag_stats(void);

/* True if this turn has taken LAG_ENOUGH_MS already. False if nothing is measured. */
bool lag_enough(void);

/* A named part of a turn. Sections may be nested; the time of an inner one does not count for the
 * outer. */
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
