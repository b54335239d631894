/* SPDX-License-Identifier: Apache-2.0
 * logs.c - archives the logs of a CVM: by boot, by size, and removes old ones.
 *
 * A boot begins in an order that a crash may interrupt anywhere: move the old live files to
 * segments of the boot that boots.json names; write boots.json with the new boot; create the new
 * live file. After a crash all steps are repeated: the first finds nothing left to move, and once
 * boots.json names the new boot only the live file is created.
 *
 * A rotation copies bytes, publishes the segment by a rename, then removes the copied bytes from
 * the front of the live file. QEMU keeps the file open and continues to write. No byte is lost if
 * the file system can collapse a range (ext4, XFS). Otherwise the file is truncated, and bytes
 * written right before that are lost.
 *
 * What must hold: a reader never sees bytes twice or misses some without notice. Readers and the
 * rotation hold a flock() on the live file while a segment is published (flock, not fcntl, which
 * QEMU uses). Each file records the position of its first byte, so a reader knows how much it
 * missed. A rotation and the start of a boot hold a flock() on the folder: two at a time would use
 * the same temporary file and segment number.
 *
 * Reading: log_reader.c.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/logs/log_folder.h"
#include "vmm/logs/logs.h"

#define ROTATE_TEMP ".rotate.tmp"

enum { CHUNK = 256 * 1024, LOCK_MAX_MS = 2000, BOOT_LOCK_MAX_MS = 30000 };

static int log_folder_open(const char *dir, struct err *e)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? err_sys(e, errno, "open log folder %s", dir) : fd;
}

/* Open the folder and lock it. Code that moves logs holds this lock until it closes the descriptor.
 */
static int log_folder_lock(const char *dir, int max_ms, struct err *e)
{
	auto_close int fd = log_folder_open(dir, e);

	if (fd < 0 || log_lock(fd, LOCK_EX, max_ms, e) < 0)
		return -(int)e->code;
	return take_fd(&fd);
}

/* Append bytes [*at, @end) of @from to @to and move *at. 0 or -errno. */
static int copy_range(int from, int to, uint64_t *at, uint64_t end)
{
	auto_free char *chunk = xmalloc(CHUNK);

	assert(from != to);
	while (*at < end) {
		size_t want = end - *at < CHUNK ? (size_t)(end - *at) : CHUNK;
		ssize_t n = pread(from, chunk, want, (off_t)*at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		for (ssize_t done = 0; done < n;) {
			ssize_t w = write(to, chunk + done, (size_t)(n - done));

			if (w < 0 && errno != EINTR)
				return -errno;
			if (w > 0)
				done += w;
		}
		*at += (uint64_t)n;
	}
	return 0;
}

static int log_next_segment(int dirfd, enum log_stream s, unsigned boot, unsigned *ret,
			    struct err *e)
{
	auto_free struct log_segment *v = NULL;
	unsigned last = 0;
	size_t n;

	if (log_segments(dirfd, &v, &n, e) < 0)
		return -(int)e->code;
	for (size_t i = 0; i < n; i++)
		if (v[i].stream == s && v[i].boot == boot && v[i].seg > last)
			last = v[i].seg;
	*ret = last + 1;
	return 0;
}

static uint64_t log_file_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

/* One rotation: bytes [at, end) of @live become a segment. */
struct rotating {
	int dirfd, live, to;
	const char *segment;
	uint64_t start; /* position of the live file's first byte */
	uint64_t at, end;
	bool cut; /* the file system can remove the bytes before end */
};

/* Number of bytes in whole blocks in front of @size, less than @size: what a file system can remove
 * from the front of a file. */
static uint64_t whole_blocks(int fd, uint64_t size)
{
	struct stat st;

	if (!size || fstat(fd, &st) < 0 || st.st_blksize <= 0)
		return 0;
	return (size - 1) / (uint64_t)st.st_blksize * (uint64_t)st.st_blksize;
}

/* Remove the copied bytes from the front. The position is recorded first: a reader that did not get
 * the lock then reads some bytes twice, and misses none. */
static int log_cut_front(const struct rotating *t)
{
	int r;

	(void)log_start_set(t->live, t->start + t->end);
	do {
		r = fallocate(t->live, FALLOC_FL_COLLAPSE_RANGE, 0, (off_t)t->end);
	} while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

/* If the front cannot be removed: copy what was written since, and truncate the file. Bytes written
 * between the two are lost. */
static int log_truncate(struct rotating *t)
{
	int r = copy_range(t->live, t->to, &t->at, t->end + 4 * CHUNK);
	uint64_t size = log_file_size(t->live);

	if (r < 0)
		return r;
	/* Bytes beyond the copy are lost, and counted as skipped. */
	(void)log_start_set(t->live, t->start + (size > t->at ? size : t->at));
	return ftruncate(t->live, 0) < 0 ? -errno : 0;
}

/* Publish the segment, with the live file locked against readers. */
static int log_publish_segment(struct rotating *t)
{
	struct err e;
	int r = log_lock(t->live, LOCK_EX, LOCK_MAX_MS, &e);

	if (r == -ERR_CANCELLED)
		return -ECANCELED; /* the next rotation does it */
	/* A process that keeps the lock must not prevent the rotation. */
	if (r < 0)
		log_warn("rotating to %s without the lock: readers may see some lines twice: %s",
			 t->segment, e.text);
	r = t->cut ? 0 : copy_range(t->live, t->to, &t->at, t->end + 4 * CHUNK);
	/* The copy must be on disk before the bytes are removed. */
	if (!r && fdatasync(t->to) < 0)
		r = -errno;
	if (!r && renameat(t->dirfd, ROTATE_TEMP, t->dirfd, t->segment) < 0)
		r = -errno;
	if (!r && (!t->cut || log_cut_front(t) < 0))
		r = log_truncate(t);
	flock(t->live, LOCK_UN);
	return r;
}

/* Copy the live file @fd to @segment, and remove the copied bytes. A live file is usually a little
 * over its limit when it is checked. If it is over twice the limit, the guest floods its log, and
 * only the last @max bytes are stored (0 = all). The part after the last whole block stays in the
 * live file, unless @whole, or unless that part alone is over the limit. */
static int log_copy_out(int dirfd, int fd, const char *segment, uint64_t max, bool whole,
			struct err *e)
{
	uint64_t size = log_file_size(fd), blocks = whole ? 0 : whole_blocks(fd, size);
	int64_t start = log_start(fd);
	auto_close int to = -1;
	struct rotating t = { .dirfd = dirfd, .live = fd, .segment = segment };
	int r;

	t.start = start < 0 ? 0 : (uint64_t)start;
	t.cut = blocks && size - blocks <= max;
	t.end = t.cut ? blocks : size;
	t.at = max && size / 2 > max ? t.end - max : 0;
	(void)unlinkat(dirfd, ROTATE_TEMP, 0);
	t.to = to = openat(dirfd, ROTATE_TEMP, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			   0640);
	if (to < 0)
		return err_sys(e, errno, "create a log segment");
	(void)log_start_set(to, t.start + t.at);
	r = copy_range(fd, to, &t.at, t.end);
	if (!r)
		r = log_publish_segment(&t);
	if (!r)
		return 0;
	(void)unlinkat(dirfd, ROTATE_TEMP, 0);
	/* There is no room for a copy. Losing this log is better than a full disk for all CVMs. */
	if (r == -ENOSPC || r == -EDQUOT) {
		(void)log_start_set(fd, t.start + log_file_size(fd));
		(void)!ftruncate(fd, 0);
	}
	return err_sys(e, -r, "rotate log to %s", segment);
}

/* Archive the whole live file of @s as a segment of @boot. */
static int log_archive(int dirfd, const struct log_boots *b, enum log_stream s, unsigned boot,
		       const struct log_limits *l, struct err *e)
{
	const char *live = log_live_name(b, s);
	auto_close int fd = log_open_file(dirfd, live, O_RDWR);
	char segment[LOG_NAME];
	unsigned seg;

	if (fd == -ENOENT || log_is_unreadable(s, fd))
		return 0;
	if (fd < 0)
		return err_sys(e, -fd, "open log %s", live);
	if (!log_file_size(fd))
		return 0;
	if (log_next_segment(dirfd, s, boot, &seg, e) < 0)
		return -(int)e->code;
	log_segment_name(s, boot, seg, segment);
	if (renameat(dirfd, live, dirfd, segment) == 0)
		return 0;
	/* libvirt's log may be on another file system, or in a folder where we cannot rename. */
	return log_copy_out(dirfd, fd, segment, l->max_bytes, true, e);
}

static unsigned oldest_kept(unsigned boot, const struct log_limits *l)
{
	unsigned keep = l->keep_boots ? l->keep_boots : 1;

	return boot > keep ? boot - keep + 1 : 1;
}

static int log_prune_segments(int dirfd, unsigned boot, const struct log_limits *l, struct err *e)
{
	auto_free struct log_segment *v = NULL;
	size_t n;

	if (log_segments(dirfd, &v, &n, e) < 0)
		return -(int)e->code;
	for (size_t i = 0; i < n; i++) {
		size_t newer = 0;
		char name[LOG_NAME];

		for (size_t k = i + 1;
		     k < n && v[k].stream == v[i].stream && v[k].boot == v[i].boot; k++)
			newer++;
		if (v[i].boot >= oldest_kept(boot, l) && newer < l->max_backups)
			continue;
		log_segment_name(v[i].stream, v[i].boot, v[i].seg, name);
		if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
			return err_sys(e, errno, "remove log segment %s", name);
	}
	return 0;
}

static void log_boots_add(struct log_boots *b, unsigned boot, int64_t now_ms,
			  const struct log_limits *l)
{
	size_t drop = 0;

	while (drop < b->n &&
	       (b->v[drop].boot < oldest_kept(boot, l) || b->n - drop >= LOG_BOOTS_KNOWN))
		drop++;
	memmove(b->v, b->v + drop, (b->n - drop) * sizeof(*b->v));
	b->n -= drop;
	assert(b->n < LOG_BOOTS_KNOWN);
	b->v[b->n].boot = boot;
	b->v[b->n].began_ms = now_ms;
	b->n++;
}

static int log_create_serial(int dirfd, const struct log_boots *b, struct err *e)
{
	auto_close int fd = openat(dirfd, "serial.log",
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
	auto_free char *line = NULL;
	char when[CLOCK_TEXT];
	size_t n;

	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0)
		return err_sys(e, errno, "create serial.log");
	(void)log_start_set(fd, 0);
	clock_rfc3339(b->v[b->n - 1].began_ms, when);
	line = xasprintf("===== boot %u @ %s =====\n", log_boots_current(b), when);
	n = strlen(line);
	if (write(fd, line, n) != (ssize_t)n)
		return err_sys(e, errno ? errno : EIO, "write serial.log");
	return 0;
}

/* serial.log is removed even if it is empty: log_create_serial() keeps an existing file. */
static int log_boot_begin_new(int dirfd, const char *dir, unsigned boot, struct log_boots *b,
			      const char *qemu_log, const struct log_limits *l, struct err *e)
{
	unsigned last = log_boots_current(b) ? log_boots_current(b) : boot > 1 ? boot - 1 : 1;

	if (!*b->qemu_log && qemu_log)
		strcpy(b->qemu_log, qemu_log);
	for (int s = 0; s < LOG_STREAMS; s++)
		if (log_archive(dirfd, b, (enum log_stream)s, last, l, e) < 0)
			return -(int)e->code;
	if (unlinkat(dirfd, "serial.log", 0) < 0 && errno != ENOENT)
		return err_sys(e, errno, "remove serial.log");
	strcpy(b->qemu_log, qemu_log ? qemu_log : "");
	log_boots_add(b, boot, clock_wall_ms(), l);
	return log_boots_write(dir, b, e);
}

int logs_boot_begin(const char *dir, unsigned boot, const char *qemu_log,
		    const struct log_limits *l, struct err *e)
{
	auto_close int fd = -1;
	struct log_boots b;

	if (qemu_log && (*qemu_log != '/' || strlen(qemu_log) >= sizeof(b.qemu_log)))
		return err_set(e, ERR_INVALID,
			       "path of QEMU's log is not absolute or too long: %.100s", qemu_log);
	if (file_mkdirs(dir, 0755, e) < 0 || (fd = log_folder_lock(dir, BOOT_LOCK_MAX_MS, e)) < 0)
		return -(int)e->code;
	/* A damaged boots.json must not prevent a start: numbers of segments are enough. */
	if (log_boots_read(fd, &b, e) < 0)
		b = (struct log_boots){ 0 };
	if (!boot || boot < log_boots_current(&b))
		return err_set(e, ERR_INVALID, "boot %u cannot follow boot %u", boot,
			       log_boots_current(&b));
	if (boot != log_boots_current(&b) &&
	    log_boot_begin_new(fd, dir, boot, &b, qemu_log, l, e) < 0)
		return -(int)e->code;
	if (log_create_serial(fd, &b, e) < 0)
		return -(int)e->code;
	return log_prune_segments(fd, boot, l, e);
}

int logs_open_to(const char *dir, gid_t gid, struct err *e)
{
	auto_close int folder = log_folder_open(dir, e), fd = -1;

	if (folder < 0)
		return -(int)e->code;
	fd = log_open_file(folder, "serial.log", O_RDWR);
	if (fd < 0)
		return err_sys(e, -fd, "open serial.log in %s", dir);
	if (fchown(folder, geteuid(), gid) < 0 || fchmod(folder, 0710) < 0 ||
	    fchown(fd, geteuid(), gid) < 0 || fchmod(fd, 0660) < 0)
		return err_sys(e, errno, "cannot give serial.log in %s to group %u", dir,
			       (unsigned)gid);
	return 0;
}

static int log_rotate_stream(int dirfd, const struct log_boots *b, enum log_stream s,
			     const struct log_limits *l, struct err *e)
{
	auto_close int fd = log_open_file(dirfd, log_live_name(b, s), O_RDWR);
	char segment[LOG_NAME];
	unsigned seg = 0;

	if (fd == -ENOENT || log_is_unreadable(s, fd))
		return 0;
	if (fd < 0)
		return err_sys(e, -fd, "open log %s", log_live_name(b, s));
	if (log_file_size(fd) <= l->max_bytes)
		return 0;
	if (log_next_segment(dirfd, s, log_boots_current(b), &seg, e) < 0)
		return -(int)e->code;
	log_segment_name(s, log_boots_current(b), seg, segment);
	return log_copy_out(dirfd, fd, segment, l->max_bytes, false, e);
}

int logs_rotate(const char *dir, const struct log_limits *l, struct err *e)
{
	auto_close int fd = -1;
	struct log_boots b;

	if (!l->max_bytes)
		return 0;
	if ((fd = log_folder_lock(dir, LOCK_MAX_MS, e)) < 0 || log_boots_read(fd, &b, e) < 0)
		return -(int)e->code;
	if (!log_boots_current(&b))
		return 0;
	for (int s = 0; s < LOG_STREAMS; s++)
		if (log_rotate_stream(fd, &b, (enum log_stream)s, l, e) < 0)
			return -(int)e->code;
	return log_prune_segments(fd, log_boots_current(&b), l, e);
}

/* ------------------------------------------------------------------ listing */

static struct log_boot *log_list_slot(struct log_boot **v, size_t *n, unsigned boot)
{
	for (size_t i = 0; i < *n; i++)
		if ((*v)[i].boot == boot)
			return &(*v)[i];
	*v = xrealloc(*v, (*n + 1) * sizeof(**v));
	(*v)[*n] = (struct log_boot){ .boot = boot };
	return &(*v)[(*n)++];
}

static void log_list_add(struct log_boot *b, enum log_stream s, uint64_t bytes, int64_t written_ms)
{
	*(s == LOG_SERIAL ? &b->serial_bytes : &b->qemu_bytes) += bytes;
	if (written_ms > b->written_ms)
		b->written_ms = written_ms;
}

static void log_list_live(int dirfd, const struct log_boots *b, struct log_boot *current)
{
	for (int s = 0; s < LOG_STREAMS; s++) {
		struct stat st;

		if (fstatat(dirfd, log_live_name(b, (enum log_stream)s), &st,
			    AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			log_list_add(current, (enum log_stream)s, (uint64_t)st.st_size,
				     st.st_mtim.tv_sec * 1000 + st.st_mtim.tv_nsec / 1000000);
	}
}

static int log_boot_order(const void *a, const void *b)
{
	const struct log_boot *x = a, *y = b;

	return (x->boot < y->boot) - (x->boot > y->boot);
}

int logs_list(const char *dir, struct log_boot **ret, size_t *ret_n, struct err *e)
{
	auto_close int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	auto_free struct log_segment *segs = NULL;
	auto_free struct log_boot *v = NULL;
	struct log_boots b;
	size_t n = 0, n_segs = 0;

	if (fd < 0 && errno != ENOENT)
		return err_sys(e, errno, "open log folder %s", dir);
	if (fd >= 0 && (log_boots_read(fd, &b, e) < 0 || log_segments(fd, &segs, &n_segs, e) < 0))
		return -(int)e->code;
	for (size_t i = 0; i < n_segs; i++)
		log_list_add(log_list_slot(&v, &n, segs[i].boot), segs[i].stream, segs[i].bytes,
			     segs[i].written_ms);
	for (size_t i = 0; fd >= 0 && i < b.n; i++)
		log_list_slot(&v, &n, b.v[i].boot)->began_ms = b.v[i].began_ms;
	if (fd >= 0 && b.n) {
		struct log_boot *current = log_list_slot(&v, &n, log_boots_current(&b));

		current->current = true;
		log_list_live(fd, &b, current);
	}
	if (n)
		qsort(v, n, sizeof(*v), log_boot_order);
	*ret = take_ptr(&v);
	*ret_n = n;
	return 0;
}
