/* SPDX-License-Identifier: Apache-2.0
 * clock.c - clocks and how times are written.
 *
 * In test builds (-DTEEPOD_FAILPOINTS) a test can shift the wall clock of this process: the
 * environment variable TEEPOD_CLOCK_FILE names a file with the seconds to add, as text. It is read
 * at each call.
 */
#ifdef TEEPOD_FAILPOINTS
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#endif

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define LATEST_MS INT64_C(253402300799999) /* the end of the year 9999 */

static int64_t now_us(clockid_t id)
{
	struct timespec ts;

	(void)clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

#ifdef TEEPOD_FAILPOINTS
static int64_t jumped_ms(void)
{
	const char *path = getenv("TEEPOD_CLOCK_FILE");
	int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	char text[24];
	ssize_t n;

	if (fd < 0)
		return 0;
	n = read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	text[n > 0 ? n : 0] = '\0';
	return strtoll(text, NULL, 10) * 1000;
}
#else
static int64_t jumped_ms(void)
{
	return 0;
}
#endif

int64_t clock_wall_ms(void)
{
	return now_us(CLOCK_REALTIME) / 1000 + jumped_ms();
}

int64_t clock_mono_ms(void)
{
	return now_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
	return now_us(CLOCK_MONOTONIC);
}

/* The last @n digits of @v, and @end. Returns the address behind. */
static char *put_digits(char *at, int n, int v, char end)
{
	for (int i = n; i-- > 0; v /= 10)
		at[i] = (char)('0' + v % 10);
	at[n] = end;
	return at + n + 1;
}

/* A list has up to three times for each row: strftime() and snprintf() take ten times as long.
 * A damaged row may have any value: it is limited, so that the text is always a time. */
char *clock_rfc3339(int64_t wall_ms, char out[CLOCK_TEXT])
{
	const int64_t ms = wall_ms < 0 ? 0 : wall_ms > LATEST_MS ? LATEST_MS : wall_ms;
	time_t s = (time_t)(ms / 1000);
	struct tm tm = { 0 };
	char *at = out;

	(void)gmtime_r(&s, &tm);
	at = put_digits(at, 4, tm.tm_year + 1900, '-');
	at = put_digits(at, 2, tm.tm_mon + 1, '-');
	at = put_digits(at, 2, tm.tm_mday, 'T');
	at = put_digits(at, 2, tm.tm_hour, ':');
	at = put_digits(at, 2, tm.tm_min, ':');
	at = put_digits(at, 2, tm.tm_sec, '.');
	at = put_digits(at, 3, (int)(ms % 1000), 'Z');
	*at = '\0';
	return out;
}

/* Parse exactly @n digits at *p and advance *p. */
static bool parse_digits(const char **p, int n, int min, int max, int *ret)
{
	int v = 0;

	for (int i = 0; i < n; i++, (*p)++) {
		if (**p < '0' || **p > '9')
			return false;
		v = v * 10 + (**p - '0');
	}
	*ret = v;
	return v >= min && v <= max;
}

static bool skip_one_of(const char **p, const char *any_of)
{
	if (!**p || !strchr(any_of, **p))
		return false;
	(*p)++;
	return true;
}

static bool parse_fraction(const char **p, int *ret_ms)
{
	int scale = 100;

	*ret_ms = 0;
	if (!skip_one_of(p, "."))
		return true;
	if (**p < '0' || **p > '9')
		return false;
	for (; **p >= '0' && **p <= '9'; (*p)++, scale /= 10)
		*ret_ms += (**p - '0') * scale;
	return true;
}

static bool parse_utc_offset(const char **p, int *ret_s)
{
	int sign = **p == '-' ? -1 : 1, h = 0, m = 0;

	*ret_s = 0;
	if (skip_one_of(p, "Zz"))
		return true;
	if (!skip_one_of(p, "+-") || !parse_digits(p, 2, 0, 23, &h) || !skip_one_of(p, ":") ||
	    !parse_digits(p, 2, 0, 59, &m))
		return false;
	*ret_s = sign * (h * 3600 + m * 60);
	return true;
}

bool clock_parse(const char *text, int64_t *ret_wall_ms)
{
	const char *p = text;
	struct tm tm = { 0 };
	int year, month, ms, off;
	int day;
	time_t s;

	if (!parse_digits(&p, 4, 1970, 9999, &year) || !skip_one_of(&p, "-") ||
	    !parse_digits(&p, 2, 1, 12, &month) || !skip_one_of(&p, "-") ||
	    !parse_digits(&p, 2, 1, 31, &day) || !skip_one_of(&p, "Tt ") ||
	    !parse_digits(&p, 2, 0, 23, &tm.tm_hour) || !skip_one_of(&p, ":") ||
	    !parse_digits(&p, 2, 0, 59, &tm.tm_min) || !skip_one_of(&p, ":") ||
	    !parse_digits(&p, 2, 0, 60, &tm.tm_sec) || !parse_fraction(&p, &ms) ||
	    !parse_utc_offset(&p, &off) || *p)
		return false;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	s = timegm(&tm);
	if (tm.tm_mday != day || s < off) /* 31 February, or before 1970 */
		return false;
	*ret_wall_ms = ((int64_t)s - off) * 1000 + ms;
	return true;
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
