/* SPDX-License-Identifier: Apache-2.0
 * serial_scan.c - finds boot progress in what a guest writes to its serial console.
 *
 * What must hold: a hostile guest, which may write any bytes at any speed, costs bounded memory and
 * time, and its text is printable when it is reported. Only the first SERIAL_HEAD bytes of a line
 * are stored, lines above SERIAL_LINE_MAX are ignored, and the text is cut and cleaned here.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/logs/log_folder.h"
#include "vmm/logs/serial_scan.h"

enum { SLICE = 64 * 1024 };

static const char *const prefix[SERIAL_KINDS] = {
	[SERIAL_BOOT_PROGRESS] = "boot.progress:",
	[SERIAL_BOOT_ERROR] = "boot.error:",
	[SERIAL_SHUTDOWN_PROGRESS] = "shutdown.progress:",
};

/* Length of the well-formed UTF-8 character at @s, which has @n bytes; 0 if there is none. *cp: its
 * code point. */
static size_t utf8_character(const unsigned char *s, size_t n, uint32_t *cp)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = s[0] < 0x80   ? 1
		     : s[0] < 0xc0 ? 0
		     : s[0] < 0xe0 ? 2
		     : s[0] < 0xf0 ? 3
		     : s[0] < 0xf8 ? 4
				   : 0;

	if (!len || len > n)
		return 0;
	*cp = len == 1 ? s[0] : s[0] & (0xffu >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*cp = *cp << 6 | (s[i] & 0x3f);
	}
	if (*cp < least[len] || *cp > 0x10ffff || (*cp >= 0xd800 && *cp <= 0xdfff))
		return 0;
	return len;
}

/* False for control characters, line separators, and marks that reorder text. */
static bool is_visible_character(uint32_t cp)
{
	return cp >= 0x20 && (cp < 0x7f || cp > 0x9f) && !(cp >= 0x2028 && cp <= 0x202e) &&
	       !(cp >= 0x2066 && cp <= 0x2069) && cp != 0x200e && cp != 0x200f && cp != 0xfeff;
}

static void serial_printable(const char *in, size_t n, char out[SERIAL_TEXT])
{
	size_t at = 0;

	for (size_t i = 0; i < n;) {
		uint32_t cp = 0;
		size_t len = utf8_character((const unsigned char *)in + i, n - i, &cp);
		bool keep = len && is_visible_character(cp);
		size_t need = keep ? len : 1;

		if (at + need >= SERIAL_TEXT)
			break;
		memcpy(out + at, keep ? in + i : "?", need);
		at += need;
		i += len ? len : 1;
	}
	out[at] = '\0';
}

static void serial_line_done(struct serial_scan *s)
{
	size_t n = s->len < SERIAL_HEAD ? s->len : SERIAL_HEAD;

	for (int k = SERIAL_BOOT_PROGRESS; k < SERIAL_KINDS && s->len <= SERIAL_LINE_MAX; k++) {
		size_t p = strlen(prefix[k]);
		char text[SERIAL_TEXT];

		if (n < p || memcmp(s->head, prefix[k], p) != 0)
			continue;
		if (n > p && s->head[p] == ' ')
			p++;
		serial_printable(s->head + p, n - p, text);
		if (!s->reported[k] || strcmp(text, s->text[k]) != 0)
			s->changed[k] = true;
		strcpy(s->text[k], text);
		s->reported[k] = true;
		break;
	}
	s->len = 0;
}

static void serial_line_text(struct serial_scan *s, const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (text[i] == '\n') {
			serial_line_done(s);
			continue;
		}
		if (s->len < SERIAL_HEAD)
			s->head[s->len] = text[i];
		s->len++;
	}
}

void serial_scan_feed(struct serial_scan *s, const char *data, size_t n, serial_fn fn, void *arg)
{
	char plain[1025];

	assert(s->len == 0 || s->spoke);
	if (n && !s->spoke) {
		s->spoke = true;
		s->changed[SERIAL_FIRST_BYTE] = true;
	}
	for (size_t i = 0; i < n;) {
		size_t part = n - i < sizeof(plain) - 1 ? n - i : sizeof(plain) - 1;

		serial_line_text(s, plain, ansi_strip(&s->ansi, data + i, part, plain));
		i += part;
	}
	for (int k = 0; k < SERIAL_KINDS; k++)
		if (s->changed[k]) {
			s->changed[k] = false;
			fn(arg, (enum serial_kind)k, s->text[k]);
		}
}

/* Length of the header line of logs_boot_begin(), which the guest did not write; 0 if there is
 * none. */
static size_t our_header_length(const char *data, size_t n)
{
	static const char mark[] = "===== boot ";
	const char *end;

	if (n < sizeof(mark) - 1 || memcmp(data, mark, sizeof(mark) - 1) != 0)
		return 0;
	end = memchr(data, '\n', n);
	return end ? (size_t)(end - data) + 1 : n;
}

/* True if this is the same file. A rotation may have removed bytes from its front: then the
 * position moves. Lines may be cut anywhere. */
static bool serial_same_file(struct serial_scan *s, const struct stat *st, int64_t start)
{
	uint64_t cut = s->start >= 0 && start > s->start ? (uint64_t)(start - s->start) : 0;

	if (st->st_dev != s->dev || st->st_ino != s->ino || cut > s->at ||
	    (uint64_t)st->st_size < s->at - cut)
		return false;
	s->at -= cut;
	s->start = start;
	return true;
}

/* Restart at the beginning if this is another file, or if it was emptied. True if it is another. */
static bool serial_reset_file(struct serial_scan *s, const struct stat *st, int64_t start)
{
	bool other = st->st_dev != s->dev || st->st_ino != s->ino;

	if (serial_same_file(s, st, start))
		return false;
	s->start = start;
	s->dev = st->st_dev;
	s->ino = st->st_ino;
	s->at = 0;
	s->len = 0;
	s->ansi = (struct ansi){ 0 };
	return other;
}

int serial_scan_file(struct serial_scan *s, const char *dir, serial_fn fn, void *arg,
		     bool *ret_more, struct err *e)
{
	auto_free char *path = xasprintf("%s/serial.log", dir), *data = NULL;
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	size_t skip = 0;
	struct stat st;
	ssize_t n;

	*ret_more = false;
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(e, errno, "open %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_HOST, "%s is not a regular file", path);
	bool fresh = serial_reset_file(s, &st, log_start(fd));

	if ((uint64_t)st.st_size == s->at)
		return 0;
	data = xmalloc(SLICE);
	n = pread(fd, data, SLICE, (off_t)s->at);
	if (n < 0)
		return err_sys(e, errno, "read %s", path);
	if (fresh)
		skip = our_header_length(data, (size_t)n);
	s->at += (uint64_t)n;
	*ret_more = (uint64_t)st.st_size > s->at;
	serial_scan_feed(s, data + skip, (size_t)n - skip, fn, arg);
	return 0;
}
