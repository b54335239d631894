/* SPDX-License-Identifier: Apache-2.0
 * lag.c - how long each turn of the loop takes, and which handler took the longest.
 *
 * A turn lasts from the end of a poll to the beginning of the next one. libuv calls the handlers of
 * descriptors inside its poll phase, so a check handle would come too late for its beginning: the
 * turn's time is what passed between two prepare callbacks, without what libuv says the loop slept
 * in the kernel (UV_METRICS_IDLE_TIME). Nothing wakes an idle loop for this.
 *
 * A long turn is logged when it is over. Each such line takes 100 ms, so there are at most ten of
 * them a second.
 */
#include "base/lag.h"

#include <assert.h>
#include <string.h>

#include "base/clock.h"
#include "base/failpoint.h"
#include "base/log.h"

const uint32_t lag_bound_ms[LAG_BUCKETS] = { 1, 5, 20, 50, 100, 500 };

static struct {
	uv_loop_t *loop; /* NULL: nothing is measured */
	uv_prepare_t prepare;
	int64_t began_us;  /* the last prepare callback (0: there was none yet), ... */
	uint64_t slept_ns; /* ... and how long the loop had slept by then */
	struct lag_section *current;
	struct lag_stats stats;

	/* this turn */
	const char *kind, *name; /* of the longest section; NULL: there was none */
	int64_t longest_us, named_us;
} lag;

static int64_t turn_us(int64_t now_us)
{
	uint64_t slept_ns = uv_metrics_idle_time(lag.loop) - lag.slept_ns;

	return now_us - lag.began_us - (int64_t)(slept_ns / 1000);
}

static void begin_turn(int64_t now_us)
{
	lag.began_us = now_us;
	lag.slept_ns = uv_metrics_idle_time(lag.loop);
	lag.kind = lag.name = NULL;
	lag.longest_us = lag.named_us = 0;
}

static void count(int64_t us)
{
	unsigned i = 0;

	while (i < LAG_BUCKETS && us > (int64_t)lag_bound_ms[i] * 1000)
		i++;
	lag.stats.bucket[i]++;
	lag.stats.sum_us += (uint64_t)us;
	if ((uint64_t)us > lag.stats.max_us)
		lag.stats.max_us = (uint64_t)us;
}

static void report(int64_t us)
{
	bool named = lag.longest_us >= us - lag.named_us;

	lag.stats.longer++;
	log_warn("the loop was held for %lld ms, %lld ms of it by %s%s%s", (long long)us / 1000,
		 (long long)(named ? lag.longest_us : us - lag.named_us) / 1000,
		 named ? lag.kind : "handlers without a name", named ? " " : "", named ? lag.name : "");
}

static void on_prepare(uv_prepare_t *p)
{
	int64_t now_us = clock_mono_us(), us = turn_us(now_us);

	(void)p;
	assert(!lag.current);
	if (!lag.began_us) { /* what came before the loop ran was no turn */
		begin_turn(now_us);
		return;
	}
	if (us < 0)
		us = 0; /* the two clocks differ by a rounding */
	count(us);
	if (us > LAG_LONG_MS * 1000)
		report(us);
	begin_turn(now_us);
}

void lag_open(uv_loop_t *loop)
{
	assert(!lag.loop);
	memset(&lag, 0, sizeof(lag));
	lag.loop = loop;
	(void)uv_loop_configure(loop, UV_METRICS_IDLE_TIME);
	(void)uv_prepare_init(loop, &lag.prepare);
	(void)uv_prepare_start(&lag.prepare, on_prepare);
	uv_unref((uv_handle_t *)&lag.prepare);
}

void lag_close(void)
{
	if (!lag.loop)
		return;
	lag.loop = NULL;
	uv_close((uv_handle_t *)&lag.prepare, NULL);
}

struct lag_stats lag_stats(void)
{
	return lag.stats;
}

bool lag_enough(void)
{
	return lag.loop && lag.began_us && turn_us(clock_mono_us()) >= LAG_ENOUGH_MS * 1000;
}

void lag_begin(struct lag_section *s, const char *kind, const char *name)
{
	*s = (struct lag_section){
		.outer = lag.current, .kind = kind, .name = name, .since_us = clock_mono_us()
	};
	lag.current = s;
	failpoint_hold(kind, name);
}

void lag_end(struct lag_section *s)
{
	int64_t us = clock_mono_us() - s->since_us;

	assert(lag.current == s);
	lag.current = s->outer;
	if (s->outer)
		s->outer->inner_us += us;
	us -= s->inner_us;
	lag.named_us += us;
	if (us <= lag.longest_us)
		return;
	lag.longest_us = us;
	lag.kind = s->kind;
	lag.name = s->name;
}
