/* SPDX-License-Identifier: Apache-2.0
 * log_folder.c - file names in a log folder, boots.json, and locks.
 *
 * boots.json alone says which boot the live files belong to. It is replaced as a whole, by a
 * rename.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "base/lanes.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/logs/log_folder.h"

#define START_ATTRIBUTE "user.teepod.start"

enum { BOOTS_TEXT = 64 * 1024, LOCK_POLL_US = 5000 };

void log_segment_name(enum log_stream s, unsigned boot, unsigned seg, char out[LOG_NAME])
{
	assert(s < LOG_STREAMS);
	(void)snprintf(out, LOG_NAME, "%s.%u.%u.log", log_stream_word[s], boot, seg);
}

const char *log_live_name(const struct log_boots *b, enum log_stream s)
{
	if (s == LOG_SERIAL)
		return "serial.log";
	return *b->qemu_log ? b->qemu_log : "qemu.log";
}

int log_open_file(int dirfd, const char *name, int flags)
{
	auto_close int fd =
		openat(dirfd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return take_fd(&fd);
}

int64_t log_start(int fd)
{
	char text[24], *end;
	ssize_t n = fgetxattr(fd, START_ATTRIBUTE, text, sizeof(text) - 1);
	long long start;

	if (n <= 0)
		return -1;
	text[n] = '\0';
	start = strtoll(text, &end, 10);
	return *end ? -1 : start;
}

int log_start_set(int fd, uint64_t start)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%llu", (unsigned long long)start);

	return fsetxattr(fd, START_ATTRIBUTE, text, (size_t)n, 0) < 0 ? -errno : 0;
}

bool log_is_unreadable(enum log_stream s, int fd)
{
	return s == LOG_QEMU && fd == -EACCES;
}

/* Every process that can open the file can lock it, QEMU included. So no wait for the lock may be
 * unlimited, and a blocking flock() has no limit. */
int log_lock(int fd, int how, int max_ms, struct err *e)
{
	int64_t until = clock_mono_ms() + max_ms;

	while (flock(fd, how | LOCK_NB) < 0) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return err_sys(e, errno, "lock the log");
		/* Check the time first: past its deadline a job counts as cancelled, too. */
		if (clock_mono_ms() >= until)
			return err_set(e, ERR_TIMEOUT, "the log is locked by another process");
		if (job_is_cancelled())
			return err_set(e, ERR_CANCELLED,
				       "the log was not locked: the job is cancelled");
		(void)usleep(LOCK_POLL_US);
	}
	return 0;
}

unsigned log_boots_current(const struct log_boots *b)
{
	return b->n ? b->v[b->n - 1].boot : 0;
}

static int log_boots_from_json(const json_t *j, struct log_boots *b)
{
	const char *qemu_log = json_string_value(json_object_get(j, "qemu_log"));
	const json_t *boots = json_object_get(j, "boots");

	if (!json_is_array(boots) || json_array_size(boots) > LOG_BOOTS_KNOWN ||
	    (qemu_log && strlen(qemu_log) >= sizeof(b->qemu_log)))
		return -1;
	if (qemu_log)
		strcpy(b->qemu_log, qemu_log);
	for (size_t i = 0; i < json_array_size(boots); i++) {
		json_int_t boot =
			json_integer_value(json_object_get(json_array_get(boots, i), "boot"));

		if (boot <= log_boots_current(b) || boot > UINT32_MAX)
			return -1;
		b->v[b->n].boot = (unsigned)boot;
		b->v[b->n].began_ms =
			json_integer_value(json_object_get(json_array_get(boots, i), "began_ms"));
		b->n++;
	}
	return 0;
}

static int log_boots_text(int fd, char **ret, size_t *ret_n, struct err *e)
{
	auto_free char *text = xmalloc(BOOTS_TEXT);
	ssize_t n = read(fd, text, BOOTS_TEXT);

	if (n < 0)
		return err_sys(e, errno, "read boots.json");
	*ret = take_ptr(&text);
	*ret_n = (size_t)n;
	return 0;
}

int log_boots_read(int dirfd, struct log_boots *ret, struct err *e)
{
	auto_close int fd = log_open_file(dirfd, "boots.json", O_RDONLY);
	auto_free char *text = NULL;
	auto_json json_t *j = NULL;
	struct log_boots b = { 0 };
	size_t n = 0;

	if (fd == -ENOENT) {
		*ret = b;
		return 0;
	}
	if (fd < 0)
		return err_sys(e, -fd, "open boots.json");
	if (log_boots_text(fd, &text, &n, e) < 0)
		return -(int)e->code;
	j = json_read(text, n, e);
	if (!j || log_boots_from_json(j, &b) < 0)
		return err_set(e, ERR_HOST, "boots.json in the log folder is damaged");
	*ret = b;
	return 0;
}

int log_boots_write(const char *dir, const struct log_boots *b, struct err *e)
{
	auto_free char *path = xasprintf("%s/boots.json", dir), *text = NULL;
	auto_json json_t *j = json_object();
	json_t *boots = json_array();

	json_object_set_new(j, "qemu_log", json_string(b->qemu_log));
	json_object_set_new(j, "boots", boots);
	for (size_t i = 0; i < b->n; i++)
		json_array_append_new(boots,
				      json_pack("{s:I, s:I}", "boot", (json_int_t)b->v[i].boot,
						"began_ms", (json_int_t)b->v[i].began_ms));
	text = json_canonical(j);
	return file_write(path, text, strlen(text), 0640, e);
}

/* "<stream>.<boot>.<seg>.log" exactly as log_segment_name() writes it. */
static bool segment_parse(const char *name, struct log_segment *s)
{
	char again[LOG_NAME];

	for (int i = 0; i < LOG_STREAMS; i++) {
		size_t n = strlen(log_stream_word[i]);

		if (strncmp(name, log_stream_word[i], n) != 0 ||
		    sscanf(name + n, ".%9u.%9u.", &s->boot, &s->seg) != 2)
			continue;
		s->stream = (enum log_stream)i;
		log_segment_name(s->stream, s->boot, s->seg, again);
		return s->boot && s->seg && !strcmp(name, again);
	}
	return false;
}

static int segment_order(const void *a, const void *b)
{
	const struct log_segment *x = a, *y = b;

	if (x->stream != y->stream)
		return x->stream < y->stream ? -1 : 1;
	if (x->boot != y->boot)
		return x->boot < y->boot ? -1 : 1;
	return (x->seg > y->seg) - (x->seg < y->seg);
}

int log_segments(int dirfd, struct log_segment **ret, size_t *ret_n, struct err *e)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct log_segment *v = NULL;
	size_t n = 0, room = 0;
	const struct dirent *de;

	if (!d) {
		err_sys(e, errno, "list the log folder");
		if (fd >= 0)
			close(fd);
		return -(int)e->code;
	}
	while ((de = readdir(d))) {
		struct log_segment s;
		struct stat st;

		if (!segment_parse(de->d_name, &s) ||
		    fstatat(dirfd, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    !S_ISREG(st.st_mode))
			continue;
		s.bytes = (uint64_t)st.st_size;
		s.written_ms = st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000;
		if (n == room)
			v = xrealloc(v, (room = room ? 2 * room : 16) * sizeof(*v));
		v[n++] = s;
	}
	closedir(d);
	if (n)
		qsort(v, n, sizeof(*v), segment_order);
	*ret = v;
	*ret_n = n;
	return 0;
}
