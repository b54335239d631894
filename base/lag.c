/* SPDX-License-Identifier: Apache-2.0
 * lag.c - duration of each turn of the loop, and its slowest handler.
 *
 * A turn lasts from the end of a poll to the beginning of the next one. libuv calls the handlers of
 * descriptors inside its poll phase, and does not report when the kernel woke the loop
 * (UV_METRICS_IDLE_TIME is wrong after a signal). So a turn is the time of sections in the poll
 * phase, plus all the time from the check handles to the prepare handles. A handler of a descriptor
 * must have a section, or its time is missing. An idle loop is not woken for measuring.
 *
 * A long turn is logged when it is over. It takes at least 100 ms, so there are at most ten such
 * lines per second.
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
	uv_check_t check;
	bool running;     /* the first turn has begun */
	bool polling;     /* between prepare and check: only sections count */
	int64_t since_us; /* time of the check callback, unless polling */
	int64_t poll_us;  /* time of sections in the poll phase of this turn */
	struct lag_section *current, *outermost;
	struct lag_stats stats;

	/* this turn */
	const char *kind, *name; /* of the longest section; NULL: no section yet */
	int64_t longest_us, named_us;
} lag;

static int64_t turn_us(int64_t now_us)
{
	if (!lag.polling)
		return lag.poll_us + now_us - lag.since_us;
	return lag.poll_us + (lag.outermost ? now_us - lag.outermost->since_us : 0);
}

static void count_turn(int64_t us)
{
	unsigned i = 0;

	while (i < LAG_BUCKETS && us > (int64_t)lag_bound_ms[i] * 1000)
		i++;
	lag.stats.bucket[i]++;
	lag.stats.sum_us += (uint64_t)us;
	if ((uint64_t)us > lag.stats.max_us)
		lag.stats.max_us = (uint64_t)us;
}

static void report_long_turn(int64_t us)
{
	bool named = lag.longest_us >= us - lag.named_us;

	lag.stats.longer++;
	log_warn("the loop was blocked for %lld ms, %lld ms of it by %s%s%s", (long long)us / 1000,
		 (long long)(named ? lag.longest_us : us - lag.named_us) / 1000,
		 named ? lag.kind : "unnamed handlers", named ? " " : "", named ? lag.name : "");
}

static void lag_on_check(uv_check_t *c)
{
	(void)c;
	lag.polling = false;
	lag.since_us = clock_mono_us();
}

static void lag_on_prepare(uv_prepare_t *p)
{
	int64_t us = turn_us(clock_mono_us());

	(void)p;
	assert(!lag.current);
	if (lag.running) {
		count_turn(us);
		if (us > LAG_LONG_MS * 1000)
			report_long_turn(us);
	}
	lag.running = lag.polling = true;
	lag.poll_us = 0;
	lag.kind = lag.name = NULL;
	lag.longest_us = lag.named_us = 0;
}

void lag_open(uv_loop_t *loop)
{
	assert(!lag.loop);
	memset(&lag, 0, sizeof(lag));
	lag.loop = loop;
	(void)uv_prepare_init(loop, &lag.prepare);
	(void)uv_prepare_start(&lag.prepare, lag_on_prepare);
	(void)uv_check_init(loop, &lag.check);
	(void)uv_check_start(&lag.check, lag_on_check);
	uv_unref((uv_handle_t *)&lag.prepare);
	uv_unref((uv_handle_t *)&lag.check);
}

void lag_close(void)
{
	if (!lag.loop)
		return;
	lag.loop = NULL;
	uv_close((uv_handle_t *)&lag.prepare, NULL);
	uv_close((uv_handle_t *)&lag.check, NULL);
}

struct lag_stats lag_stats(void)
{
	return lag.stats;
}

bool lag_enough(void)
{
	return lag.loop && lag.running && turn_us(clock_mono_us()) >= LAG_ENOUGH_MS * 1000;
}

void lag_begin(struct lag_section *s, const char *kind, const char *name)
{
	*s = (struct lag_section){
		.outer = lag.current, .kind = kind, .name = name, .since_us = clock_mono_us()
	};
	lag.current = s;
	if (!s->outer)
		lag.outermost = s;
	failpoint_hold(kind, name);
}

void lag_end(struct lag_section *s)
{
	int64_t us = clock_mono_us() - s->since_us;

	assert(lag.current == s);
	lag.current = s->outer;
	if (s->outer) {
		s->outer->inner_us += us;
	} else {
		lag.outermost = NULL;
		lag.poll_us += lag.polling ? us : 0;
	}
	us -= s->inner_us;
	lag.named_us += us;
	if (us <= lag.longest_us)
		return;
	lag.longest_us = us;
	lag.kind = s->kind;
	lag.name = s->name;
}
