/* SPDX-License-Identifier: Apache-2.0
 * tool.c - clocks, die(), and waiting for the first line on serial consoles; see tool.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/tool.h"

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
	_exit(1);
}

void *need(void *p)
{
	if (!p)
		die("out of memory");
	return p;
}

int64_t now_us(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int64_t cpu_us(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return ((int64_t)u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 + u.ru_utime.tv_usec +
	       u.ru_stime.tv_usec;
}

int ascending(const void *a, const void *b)
{
	const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

long long quantile(const int64_t *sorted, size_t n, unsigned percent)
{
	size_t i = n * percent / 100;

	return (long long)sorted[i < n ? i : n - 1];
}

/* The guest's own text: the node writes a line to each log before the guest runs. */
static const char words[] = "BOOTSECTOR-READY\r\n";

static bool guest_printed(const char *path)
{
	char text[4096];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : 0;

	if (fd >= 0)
		(void)close(fd);
	return n > 0 && memmem(text, (size_t)n, words, sizeof(words) - 1) != NULL;
}

struct console {
	char path[4096];
	int watch; /* -1: the folder does not exist yet */
	bool printed;
};

static void console_check(struct console *c, size_t *left, int64_t *last)
{
	if (c->printed || !guest_printed(c->path))
		return;
	c->printed = true;
	*last = now_us();
	--*left;
}

static bool consoles_watch(int in, const char *const *folders, struct console *c, size_t n,
			   size_t *left, int64_t *last)
{
	bool missing = false;

	for (size_t i = 0; i < n; i++) {
		if (c[i].watch >= 0)
			continue;
		c[i].watch = inotify_add_watch(in, folders[i], IN_MODIFY | IN_CREATE);
		if (c[i].watch < 0 && errno != ENOENT)
			die("watch %s: %s", folders[i], strerror(errno));
		missing |= c[i].watch < 0;
		console_check(&c[i], left, last);
	}
	return missing;
}

static void consoles_read_events(int in, struct console *c, size_t n, size_t *left, int64_t *last)
{
	char text[16384] __attribute__((aligned(__alignof__(struct inotify_event))));
	ssize_t got = read(in, text, sizeof(text));

	for (char *p = text; p < text + (got > 0 ? got : 0);) {
		const struct inotify_event *ev = (const void *)p;

		for (size_t i = 0; i < n; i++)
			if (c[i].watch == ev->wd)
				console_check(&c[i], left, last);
		p += sizeof(*ev) + ev->len;
	}
}

int64_t wait_first_lines(const char *const *folders, size_t n, int seconds)
{
	struct console *c = need(calloc(n, sizeof(*c)));
	int in = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	int64_t end = now_us() + (int64_t)seconds * 1000000, last = 0;
	size_t left = n;

	if (in < 0)
		die("inotify: %s", strerror(errno));
	for (size_t i = 0; i < n; i++) {
		c[i].watch = -1;
		(void)snprintf(c[i].path, sizeof(c[i].path), "%s/serial.log", folders[i]);
	}
	while (left) {
		bool missing = consoles_watch(in, folders, c, n, &left, &last);
		struct pollfd p = { .fd = in, .events = POLLIN };

		if (now_us() > end)
			die("%zu of %zu guests printed nothing within %d seconds", left, n,
			    seconds);
		if (left && poll(&p, 1, missing ? 1 : 100) > 0)
			consoles_read_events(in, c, n, &left, &last);
	}
	(void)close(in);
	free(c);
	return last;
}
