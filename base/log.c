/* SPDX-License-Identifier: Apache-2.0
 * log.c - writes the log to the journal under systemd, else to stderr.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/own.h"
#include "base/utf8.h"

static enum log_level threshold = LOG_LEVEL_INFO;
static bool as_json, to_journal;

static const struct {
	enum log_level level;
	const char *word;
} levels[] = {
	{ LOG_LEVEL_ERROR, "error" },
	{ LOG_LEVEL_WARN, "warn" },
	{ LOG_LEVEL_INFO, "info" },
	{ LOG_LEVEL_DEBUG, "debug" },
};

static const char *level_word(enum log_level level)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (levels[i].level == level)
			return levels[i].word;
	return "info";
}

/* See systemd.exec(5): JOURNAL_STREAM holds device and inode of the stream connected to stderr. */
static bool stderr_is_journal(void)
{
	const char *s = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	if (!s || sscanf(s, "%llu:%llu", &dev, &ino) != 2 || fstat(STDERR_FILENO, &st) < 0)
		return false;
	return st.st_dev == dev && st.st_ino == ino;
}

void log_open(enum log_level level, bool json)
{
	threshold = level;
	as_json = json;
	to_journal = stderr_is_journal();
}

static void write_journal(enum log_level level, const struct log_about *a, const char *text)
{
	(void)sd_journal_send("PRIORITY=%d", (int)level, "MESSAGE=%s", text, "TEEPOD_CVM=%s",
			      a->cvm ? a->cvm : "", "TEEPOD_OP=%s", a->op ? a->op : "",
			      "TEEPOD_REQ=%s", a->req ? a->req : "", NULL);
}

static void write_json(enum log_level level, const struct log_about *a, const char *text)
{
	char at[CLOCK_TEXT];
	auto_json json_t *j =
		json_pack("{s:s, s:s, s:s, s:s*, s:s*, s:s*}", "time",
			  clock_rfc3339(clock_wall_ms(), at), "level", level_word(level), "message",
			  text, "cvm", a->cvm, "op", a->op, "req", a->req);
	auto_free char *line = j ? json_dumps(j, JSON_COMPACT) : NULL;

	(void)dprintf(STDERR_FILENO, "%s\n",
		      line ? line : "{\"level\":\"error\",\"message\":\"unprintable log line\"}");
}

static void write_text(enum log_level level, const struct log_about *a, const char *text)
{
	char at[CLOCK_TEXT];

	(void)dprintf(STDERR_FILENO, "%s %-5s %s%s%s%s%s%s%s\n", clock_rfc3339(clock_wall_ms(), at),
		      level_word(level), text, a->cvm ? " cvm=" : "", a->cvm ? a->cvm : "",
		      a->op ? " op=" : "", a->op ? a->op : "", a->req ? " req=" : "",
		      a->req ? a->req : "");
}

void log_write(enum log_level level, const struct log_about *about, const char *fmt, ...)
{
	static const struct log_about nothing;
	char text[1024], shown[4 * sizeof(text)];
	va_list ap;

	if (level > threshold)
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* The text may quote clients, guests and other programs. */
	for (char *p = text; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	utf8_show(text, shown, sizeof(shown));
	if (!about)
		about = &nothing;
	if (to_journal)
		write_journal(level, about, shown);
	else if (as_json)
		write_json(level, about, shown);
	else
		write_text(level, about, shown);
}
