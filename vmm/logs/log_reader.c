/* SPDX-License-Identifier: Apache-2.0
 * log_reader.c - reads the log of one boot, while it is written, rotated and archived.
 *
 * A reader has a position in the bytes that the boot wrote to the stream, and a current file: a
 * segment or the live file. Each file records the position of its first byte (log_start()). A
 * rotation and the next boot both move bytes from the live file to the next segment. So before it
 * reads more of the live file, the reader checks whether there is a segment with a higher number
 * than the last one it knows; if so it continues there. A new mtime of the folder causes a
 * scan. mtimes are as coarse as the tick of the kernel, so a folder that changed just now is
 * scanned again.
 *
 * What must hold: no byte is returned twice, and none is skipped silently. If a file begins after
 * the position (pruned segments, a flood, a full disk), a line in the text states how many
 * bytes are missing. Files without recorded positions (of an earlier release, or on file systems
 * without extended attributes) count as adjacent, unless their numbers show a gap.
 *
 * Everything here may wait, for files and for a lock that others hold. So it runs in jobs, one at a
 * time for each reader, and stops at the deadline of the job.
 *
 * Bytes are moved by logs.c.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/lanes.h"
#include "base/own.h"
#include "vmm/logs/ansi.h"
#include "vmm/logs/log_folder.h"
#include "vmm/logs/log_reader.h"

enum { TICK_NS = 50 * 1000 * 1000 };

struct log_reader {
	int dirfd, fd; /* fd: the current file; -1 = none, between two files */
	struct log_request request;
	unsigned boot;
	unsigned seg;      /* of fd; 0 = live */
	unsigned last_seg; /* segments up to this one were read */
	uint64_t pos;      /* of the next byte */
	uint64_t start;    /* position of fd's first byte */
	int64_t shift;     /* difference of our position and a recorded one */
	bool placed, has_shift;
	uint64_t stop_at; /* not following: position of the end of the live file when it was opened
			   */
	bool was_live;
	/* result of the last scan of the folder */
	struct log_boots boots;
	unsigned next_seg; /* 0 = none above last_seg */
	bool last_is_kept; /* last_seg is still there */
	struct timespec scanned_mtime;
	bool scan_again;
	struct ansi ansi;
	char note[192]; /* returned before anything else */
	size_t note_n, note_at;
	bool in_line; /* the last byte returned was not a newline */
	char raw[LOG_SLICE];
	char reason[48];
};

static int reader_scan_folder(struct log_reader *r, struct err *e)
{
	auto_free struct log_segment *v = NULL;
	struct stat st;
	struct timespec now;
	size_t n;

	if (fstat(r->dirfd, &st) < 0)
		return err_sys(e, errno, "stat the log folder");
	clock_gettime(CLOCK_REALTIME, &now);
	if (log_boots_read(r->dirfd, &r->boots, e) < 0 || log_segments(r->dirfd, &v, &n, e) < 0)
		return -(int)e->code;
	r->next_seg = 0;
	r->last_is_kept = false;
	for (size_t i = 0; i < n && !r->next_seg; i++) {
		if (v[i].stream != r->request.stream || v[i].boot != r->boot)
			continue;
		if (v[i].seg > r->last_seg)
			r->next_seg = v[i].seg;
		r->last_is_kept |= v[i].seg == r->last_seg;
	}
	r->scanned_mtime = st.st_mtim;
	r->scan_again =
		(now.tv_sec - st.st_mtim.tv_sec) * 1000000000 + now.tv_nsec - st.st_mtim.tv_nsec <
		TICK_NS;
	return 0;
}

static bool reader_folder_changed(const struct log_reader *r)
{
	struct stat st;

	return r->scan_again || fstat(r->dirfd, &st) < 0 ||
	       st.st_mtim.tv_sec != r->scanned_mtime.tv_sec ||
	       st.st_mtim.tv_nsec != r->scanned_mtime.tv_nsec;
}

static void reader_close_file(struct log_reader *r)
{
	if (r->fd >= 0) {
		/* Unlock explicitly: a child that was forked meanwhile would keep the lock. */
		(void)flock(r->fd, LOCK_UN);
		close(r->fd);
	}
	r->fd = -1;
	if (r->seg > r->last_seg)
		r->last_seg = r->seg;
	r->seg = 0;
}

static uint64_t log_fd_size(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : (uint64_t)st.st_size;
}

static bool has_note(const struct log_reader *r)
{
	return r->note_at < r->note_n;
}

/* Insert a line of ours into the text. */
__attribute__((format(printf, 2, 3))) static void note(struct log_reader *r, const char *fmt, ...)
{
	char text[128];
	va_list ap;

	assert(!has_note(r));
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	r->note_n = (size_t)snprintf(r->note, sizeof(r->note), "%s===== teepod: %s =====\n",
				     r->in_line ? "\n" : "", text);
	assert(r->note_n < sizeof(r->note));
	r->note_at = 0;
	r->ansi = (struct ansi){ 0 };
}

/* The next file begins at @start: report the bytes in between as skipped. */
static void reader_skip_to(struct log_reader *r, uint64_t start)
{
	if (start <= r->pos)
		return;
	note(r, "%llu bytes skipped: this part of the log was removed before it could be read",
	     (unsigned long long)(start - r->pos));
	r->pos = start;
}

/* Position of the first byte of segment @seg, or of the live file (0), if it is not recorded. A
 * segment that was the live file keeps its position. */
static uint64_t guess_start(struct log_reader *r, unsigned seg)
{
	bool was_live = r->fd >= 0 && !r->seg;

	if (seg > r->last_seg + 1)
		note(r, "bytes skipped: %u files of the log were removed before they could be read",
		     seg - r->last_seg - 1);
	else if (was_live)
		return r->start;
	return r->pos;
}

/* True if a file whose first byte is recorded at @recorded begins after our position. */
static bool is_ahead(const struct log_reader *r, int64_t recorded)
{
	return r->has_shift && recorded >= 0 && (uint64_t)(recorded + r->shift) > r->pos;
}

/* Make @fd the current file, at our position. @recorded: log_start(), read before the last scan. */
static void reader_attach(struct log_reader *r, int fd, unsigned seg, int64_t recorded)
{
	if (!r->placed) {
		r->start = r->pos = recorded < 0 ? 0 : (uint64_t)recorded;
	} else if (recorded >= 0 && r->has_shift) {
		r->start = (uint64_t)(recorded + r->shift);
		reader_skip_to(r, r->start);
	} else {
		r->start = guess_start(r, seg);
		r->shift = (int64_t)r->start - recorded;
	}
	r->placed = true;
	r->has_shift = recorded >= 0;
	if (fd == r->fd)
		return;
	reader_close_file(r);
	r->fd = fd;
	r->seg = seg;
}

/* Open segment next_seg. A segment that was pruned meanwhile is skipped. */
static int reader_enter_segment(struct log_reader *r, struct err *e)
{
	char name[LOG_NAME];
	int fd;

	log_segment_name(r->request.stream, r->boot, r->next_seg, name);
	fd = log_open_file(r->dirfd, name, O_RDONLY);
	if (fd < 0 && fd != -ENOENT)
		return err_sys(e, -fd, "open log segment %s", name);
	if (fd >= 0)
		reader_attach(r, fd, r->next_seg, log_start(fd));
	else
		r->scan_again = true;
	return 0;
}

static enum log_more reader_end(struct log_reader *r, bool next_boot)
{
	if (next_boot)
		(void)snprintf(r->reason, sizeof(r->reason), "boot %u began",
			       log_boots_current(&r->boots));
	else
		(void)snprintf(r->reason, sizeof(r->reason), "end of log");
	return LOG_END;
}

static bool boot_is_past(const struct log_reader *r)
{
	return log_boots_current(&r->boots) != r->boot;
}

/* Not following, and everything was read that existed at the start. */
static bool has_read_all(const struct log_reader *r)
{
	return !r->request.follow && r->was_live && r->pos >= r->stop_at;
}

/* The live file was opened. A reader that does not follow stops at its present end. */
static void reader_enter_live(struct log_reader *r)
{
	if (!r->was_live)
		r->stop_at = r->start + log_fd_size(r->fd);
	r->was_live = true;
}

/* Read the next bytes of the current file. */
static int reader_read_file(struct log_reader *r, size_t want, size_t *got, struct err *e)
{
	ssize_t n;

	if (has_read_all(r))
		want = 0;
	else if (!r->request.follow && r->was_live && r->stop_at - r->pos < want)
		want = (size_t)(r->stop_at - r->pos);
	assert(r->fd >= 0 && r->pos >= r->start);
	n = pread(r->fd, r->raw, want, (off_t)(r->pos - r->start));
	if (n < 0)
		return err_sys(e, errno, "read the log");
	*got = (size_t)n;
	r->pos += (uint64_t)n;
	return 0;
}

/* The boot is over and there is no next file. If the last segment was removed meanwhile, later ones
 * may have been removed, too. */
static enum log_more reader_end_of_boot(struct log_reader *r)
{
	if (r->last_seg && !r->last_is_kept)
		note(r, "bytes may be skipped: the end of the log of boot %u was removed", r->boot);
	return reader_end(r, r->request.follow);
}

/* Open the next file. */
static int reader_open_next(struct log_reader *r, enum log_more *more, struct err *e)
{
	auto_close int fd = -1;
	const char *live;
	int64_t recorded;

	if (reader_scan_folder(r, e) < 0)
		return -(int)e->code;
	if (has_read_all(r)) {
		*more = reader_end(r, false);
		return 0;
	}
	if (r->next_seg)
		return reader_enter_segment(r, e);
	if (boot_is_past(r)) {
		*more = reader_end_of_boot(r);
		return 0;
	}
	live = log_live_name(&r->boots, r->request.stream);
	fd = log_open_file(r->dirfd, live, O_RDONLY);
	if (fd == -ENOENT) {
		*more = r->request.follow ? LOG_QUIET : reader_end(r, false);
		return 0;
	}
	if (fd < 0)
		return err_sys(e, -fd, "open log %s", live);
	recorded = log_start(fd);
	if (is_ahead(r, recorded)) {
		/* The file was rotated after the scan: its bytes are in a segment, if that still
		 * exists. */
		if (reader_scan_folder(r, e) < 0)
			return -(int)e->code;
		if (r->next_seg)
			return reader_enter_segment(r, e);
	}
	reader_attach(r, take_fd(&fd), 0, recorded);
	reader_enter_live(r);
	return 0;
}

/* If the next boot did not begin with a rename, the live file belongs to it now. */
static bool is_next_boots_file(const struct log_reader *r)
{
	struct stat ours, now;

	return boot_is_past(r) && !fstat(r->fd, &ours) &&
	       !fstatat(r->dirfd, log_live_name(&r->boots, r->request.stream), &now,
			AT_SYMLINK_NOFOLLOW) &&
	       ours.st_dev == now.st_dev && ours.st_ino == now.st_ino;
}

/* The current file is the live file. It may have been truncated, by a user or by a rotation whose
 * segment was removed since. */
static void reader_reattach(struct log_reader *r, int64_t recorded)
{
	reader_attach(r, r->fd, 0, recorded);
	if (has_note(r) || r->pos - r->start <= log_fd_size(r->fd) || log_start(r->fd) != recorded)
		return;
	note(r, "bytes skipped: the log was truncated before they could be read");
	r->shift += (int64_t)(r->pos - r->start);
	r->start = r->pos;
}

/* The current file is the live file, and locked: read on, unless its bytes are in a segment now. */
static int reader_read_live(struct log_reader *r, size_t want, size_t *got, enum log_more *more,
			    struct err *e)
{
	int64_t recorded = log_start(r->fd);

	if ((reader_folder_changed(r) || log_fd_size(r->fd) < r->pos - r->start ||
	     is_ahead(r, recorded)) &&
	    reader_scan_folder(r, e) < 0)
		return -(int)e->code;
	if (r->next_seg)
		return reader_enter_segment(r, e);
	reader_reattach(r, recorded);
	if (has_note(r))
		return 0;
	if (is_next_boots_file(r)) {
		*more = reader_end(r, r->request.follow);
		return 0;
	}
	if (reader_read_file(r, want, got, e) < 0)
		return -(int)e->code;
	if (log_start(r->fd) != recorded) {
		/* A rotation without the lock came in between. */
		r->pos -= *got;
		*got = 0;
		r->scan_again = true;
	} else if (!*got) {
		*more = r->request.follow && !boot_is_past(r)
				? LOG_QUIET
				: reader_end(r, r->request.follow && boot_is_past(r));
	}
	return 0;
}

static int reader_read_segment(struct log_reader *r, size_t want, size_t *got, struct err *e)
{
	if (reader_read_file(r, want, got, e) < 0)
		return -(int)e->code;
	if (!*got)
		reader_close_file(r);
	return 0;
}

/* The wait ends before the deadline, so that the error names the lock. */
static int reader_lock_live(int live, struct err *e)
{
	return log_lock(live, LOCK_SH, job_time_left_ms() / 10 * 9, e);
}

/* Needs no lock: a rotation that has begun has renamed something in the folder. */
static bool is_quiet(const struct log_reader *r)
{
	return r->request.follow && log_fd_size(r->fd) == r->pos - r->start &&
	       !reader_folder_changed(r);
}

static int reader_read_raw(struct log_reader *r, size_t want, size_t *got, enum log_more *more,
			   struct err *e)
{
	int live = r->fd, rc;

	if (r->fd < 0)
		return reader_open_next(r, more, e);
	if (r->seg)
		return reader_read_segment(r, want, got, e);
	if (is_quiet(r)) {
		*more = LOG_QUIET;
		return 0;
	}
	/* A rotation holds the lock only between its rename and its truncate. */
	if (reader_lock_live(live, e) < 0)
		return -(int)e->code;
	rc = reader_read_live(r, want, got, more, e);
	if (r->fd == live)
		(void)flock(live, LOCK_UN);
	return rc;
}

int log_reader_read(struct log_reader *r, char *buf, size_t n, size_t *ret_n,
		    enum log_more *ret_more, struct err *e)
{
	size_t want = n - 1 < LOG_SLICE ? n - 1 : LOG_SLICE, got = 0;
	enum log_more more = LOG_MORE;

	if (has_note(r)) {
		got = r->note_n - r->note_at < want ? r->note_n - r->note_at : want;
		memcpy(buf, r->note + r->note_at, got);
		r->note_at += got;
	} else if (*r->reason || r->dirfd < 0) {
		more = *r->reason ? LOG_END : reader_end(r, false);
	} else if (reader_read_raw(r, want, &got, &more, e) < 0) {
		return -(int)e->code;
	} else if (r->request.strip) {
		got = ansi_strip(&r->ansi, r->raw, got, buf);
	} else {
		memcpy(buf, r->raw, got);
	}
	if (got)
		r->in_line = buf[got - 1] != '\n';
	*ret_n = got;
	*ret_more = has_note(r) ? LOG_MORE : more;
	return 0;
}

/* ------------------------------------------------------------------ start position */

struct tail {
	uint64_t lines;  /* still to find */
	uint64_t budget; /* bytes that may still be searched */
	bool started;    /* the newline at the end of the last line was found */
};

/* Search the @n bytes of @chunk, which are at @base in their file. True if the start was found or
 * the budget is used up: *at. */
static bool tail_in_chunk(struct tail *t, const char *chunk, size_t n, uint64_t base, uint64_t *at)
{
	size_t end = n, floor;
	const char *newline;

	if (!t->started && n) {
		t->started = true;
		t->budget--;
		end--;
	}
	floor = t->budget < end ? end - (size_t)t->budget : 0;
	t->budget -= end - floor;
	while ((newline = memrchr(chunk + floor, '\n', end - floor))) {
		end = (size_t)(newline - chunk);
		if (--t->lines)
			continue;
		*at = base + end + 1;
		return true;
	}
	*at = base + floor;
	return floor > 0;
}

/* Search @fd backwards. *at: the start position. Returns 0 or -errno. */
static int tail_in_file(struct tail *t, int fd, char *chunk, uint64_t *at, bool *found)
{
	uint64_t pos = log_fd_size(fd);

	*found = false;
	*at = 0;
	while (pos > 0 && !*found) {
		size_t n = pos < LOG_SLICE ? (size_t)pos : LOG_SLICE;
		ssize_t got = pread(fd, chunk, n, (off_t)(pos - n));

		if (got < 0)
			return -errno;
		if (job_is_cancelled())
			return -ETIMEDOUT;
		pos -= n;
		*found = tail_in_chunk(t, chunk, (size_t)got, pos, at);
	}
	return 0;
}

static int log_tail_error(int error, struct err *e)
{
	if (error == ETIMEDOUT)
		return err_set(e, ERR_TIMEOUT,
			       "searching the log for its last lines took too long");
	return err_sys(e, error, "read the log");
}

/* Begin at byte @at of @fd. */
static void reader_begin_at(struct log_reader *r, int fd, uint64_t at)
{
	reader_attach(r, fd, r->seg, log_start(fd));
	r->pos += at;
}

static int tail_segments(struct log_reader *r, struct tail *t, bool *found, struct err *e)
{
	auto_free struct log_segment *v = NULL;
	uint64_t at = 0;
	size_t n;

	if (log_segments(r->dirfd, &v, &n, e) < 0)
		return -(int)e->code;
	for (size_t i = n; i-- > 0 && !*found;) {
		char name[LOG_NAME];
		int fd, rc;

		if (v[i].stream != r->request.stream || v[i].boot != r->boot)
			continue;
		log_segment_name(r->request.stream, r->boot, v[i].seg, name);
		fd = log_open_file(r->dirfd, name, O_RDONLY);
		if (fd == -ENOENT)
			break;
		if (fd < 0)
			return err_sys(e, -fd, "open log segment %s", name);
		if (r->fd >= 0)
			close(r->fd);
		r->fd = fd;
		r->seg = v[i].seg;
		r->last_seg = v[i].seg - 1;
		rc = tail_in_file(t, fd, r->raw, &at, found);
		if (rc < 0)
			return log_tail_error(-rc, e);
	}
	if (r->fd >= 0)
		reader_begin_at(r, r->fd, at);
	return 0;
}

static unsigned newest_segment(const struct log_reader *r, const struct log_segment *v, size_t n)
{
	unsigned newest = 0;

	for (size_t i = 0; i < n; i++)
		if (v[i].stream == r->request.stream && v[i].boot == r->boot)
			newest = v[i].seg;
	return newest;
}

/* Begin @lines lines before the end. The lock keeps a rotation from moving the end meanwhile. */
static int reader_begin_at_tail(struct log_reader *r, uint64_t lines, struct err *e)
{
	struct tail t = { .lines = lines, .budget = LOG_TAIL_BYTES };
	auto_close int live = -1;
	auto_free struct log_segment *v = NULL;
	bool found = false;
	uint64_t at;
	size_t n;
	int rc;

	if (!boot_is_past(r))
		live = log_open_file(r->dirfd, log_live_name(&r->boots, r->request.stream),
				     O_RDONLY);
	if (live >= 0 && reader_lock_live(live, e) < 0)
		return -(int)e->code;
	if (log_segments(r->dirfd, &v, &n, e) < 0)
		return -(int)e->code;
	if (live >= 0) {
		r->last_seg = newest_segment(r, v, n);
		at = log_fd_size(live);
		rc = lines ? tail_in_file(&t, live, r->raw, &at, &found) : 0;
		if (rc < 0)
			return log_tail_error(-rc, e);
		if (!lines || found || !r->last_seg) {
			reader_begin_at(r, live, at);
			reader_enter_live(r);
			(void)flock(live, LOCK_UN);
			(void)take_fd(&live);
			return 0;
		}
	}
	if (!lines) {
		r->last_seg = newest_segment(r, v, n);
		return 0;
	}
	return tail_segments(r, &t, &found, e);
}

static int log_boot_not_found(const struct log_reader *r, struct err *e)
{
	unsigned current = log_boots_current(&r->boots);
	char given[16];

	(void)snprintf(given, sizeof(given), "%u", r->request.boot);
	err_field(e, ERR_NOT_FOUND, "boot", given, "there is no log of boot %u", r->request.boot);
	return current ? err_hint(e, "boots %u to %u have logs", r->boots.v[0].boot, current)
		       : err_hint(e, "the CVM has not been started yet");
}

static int find_boot(struct log_reader *r, struct err *e)
{
	auto_free struct log_segment *v = NULL;
	size_t n;

	if (log_boots_read(r->dirfd, &r->boots, e) < 0)
		return -(int)e->code;
	r->boot = r->request.boot ? r->request.boot : log_boots_current(&r->boots);
	if (r->boot == log_boots_current(&r->boots))
		return 0;
	if (log_segments(r->dirfd, &v, &n, e) < 0)
		return -(int)e->code;
	for (size_t i = 0; i < n; i++)
		if (v[i].boot == r->boot)
			return 0;
	for (size_t i = 0; i < r->boots.n; i++)
		if (r->boots.v[i].boot == r->boot)
			return 0;
	return log_boot_not_found(r, e);
}

/* Checked before the reply begins: a later error could only truncate it. */
static int check_readable(const struct log_reader *r, struct err *e)
{
	const char *live = log_live_name(&r->boots, r->request.stream);
	auto_close int fd = boot_is_past(r) ? -1 : log_open_file(r->dirfd, live, O_RDONLY);

	if (!log_is_unreadable(r->request.stream, fd))
		return 0;
	err_set(e, ERR_UNSUPPORTED, "teepod cannot read the output of QEMU: %s belongs to libvirt",
		live);
	return err_hint(e, "read it on the host, as root");
}

static void own_reader(struct log_reader **r)
{
	log_reader_free(*r);
}

int log_reader_open(const char *dir, const struct log_request *request, struct log_reader **ret,
		    struct err *e)
{
	__attribute__((cleanup(own_reader))) struct log_reader *r = xcalloc(1, sizeof(*r));

	r->fd = -1;
	r->request = *request;
	r->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (r->dirfd < 0 && errno != ENOENT)
		return err_sys(e, errno, "open log folder %s", dir);
	if (r->dirfd < 0 && request->boot)
		return log_boot_not_found(r, e);
	if (r->dirfd >= 0) {
		if (find_boot(r, e) < 0 || check_readable(r, e) < 0)
			return -(int)e->code;
		if (request->tail >= 0 && reader_begin_at_tail(r, (uint64_t)request->tail, e) < 0)
			return -(int)e->code;
		r->scan_again = true;
	}
	*ret = take_ptr(&r);
	return 0;
}

unsigned log_reader_boot(const struct log_reader *r)
{
	return r->boot;
}

const char *log_reader_reason(const struct log_reader *r)
{
	return r->reason;
}

void log_reader_free(struct log_reader *r)
{
	if (!r)
		return;
	if (r->fd >= 0)
		close(r->fd);
	if (r->dirfd >= 0)
		close(r->dirfd);
	free(r);
}
