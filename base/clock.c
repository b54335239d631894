/* SPDX-License-Identifier: Apache-2.0
 * clock.c - clocks and how times are written.
 */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"

static int64_t now_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_wall_ms(void)
{
	return now_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_mono_ms(void)
{
	return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
	return now_us(CLOCK_MONOTONIC);
}

char *clock_rfc3339(int64_t wall_ms, char out[CLOCK_TEXT])
{
	time_t s = (time_t)(wall_ms / 1000);
	struct tm tm;
	char date[24];

	(void)gmtime_r(&s, &tm);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(out, CLOCK_TEXT, "%s.%03dZ", date, (int)(wall_ms % 1000));
	return out;
}

char *clock_span(int64_t ms, char out[CLOCK_SPAN])
{
	int64_t s = ms > 0 ? ms / 1000 : 0;
	const struct {
		int64_t value;
		const char *one, *many;
	} part[] = {
		{ s / 86400, "day", "days" },
		{ s / 3600 % 24, "h", "h" },
		{ s / 60 % 60, "m", "m" },
		{ s % 60, "s", "s" },
	};
	size_t n = 0;

	out[0] = 0;
	for (int i = 0; i < 4; i++) {
		if (!part[i].value || n >= CLOCK_SPAN)
			continue;
		n += (size_t)snprintf(out + n, CLOCK_SPAN - n, "%s%lld%s", n ? " " : "",
				      (long long)part[i].value,
				      part[i].value == 1 ? part[i].one : part[i].many);
	}
	if (!n)
		(void)snprintf(out, CLOCK_SPAN, "0s");
	return out;
}
