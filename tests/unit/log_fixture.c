/* SPDX-License-Identifier: Apache-2.0
 * log_fixture.c - the log folder of a CVM in a temporary folder.
 */
#include "tests/unit/log_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/logs/logs.h"

const struct log_limits log_small = { .max_bytes = 100, .max_backups = 3, .keep_boots = 2 };

int log_fixture_set_up(void **st)
{
	struct log_fixture *r = xcalloc(1, sizeof(*r));

	strcpy(r->top, "/tmp/logs-test-XXXXXX");
	assert_non_null(mkdtemp(r->top));
	r->dir = xasprintf("%s/logs", r->top);
	r->qemu = xasprintf("%s/libvirt.log", r->top);
	*st = r;
	return 0;
}

int log_fixture_tear_down(void **st)
{
	struct log_fixture *r = *st;
	struct err e;

	assert_int_equal(file_remove_tree(r->top, &e), 0);
	free(r->dir);
	free(r->qemu);
	free(r);
	return 0;
}

void log_append(const char *path, const char *text)
{
	auto_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0640);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

void log_guest_writes(const struct log_fixture *r, const char *text)
{
	auto_free char *path = xasprintf("%s/serial.log", r->dir);

	log_append(path, text);
}

void log_begin_boot(const struct log_fixture *r, unsigned boot)
{
	struct err e;

	assert_int_equal(logs_boot_begin(r->dir, boot, r->qemu, &log_small, &e), 0);
}

void log_rotate(const struct log_fixture *r)
{
	struct err e;

	if (logs_rotate(r->dir, &log_small, &e) < 0)
		fail_msg("%s", e.text);
}

bool log_has_file(const struct log_fixture *r, const char *name)
{
	auto_free char *path = xasprintf("%s/%s", r->dir, name);

	return access(path, F_OK) == 0;
}

char *log_drain(struct log_reader *lr, size_t slice, enum log_more *last)
{
	struct buf b = { 0 };
	char piece[4096];
	enum log_more more = LOG_MORE;
	struct err e;
	size_t n;

	buf_puts(&b, "");
	while (more == LOG_MORE) {
		if (log_reader_read(lr, piece, slice, &n, &more, &e) < 0)
			fail_msg("%s", e.text);
		buf_add(&b, piece, n);
	}
	if (last)
		*last = more;
	return buf_take(&b);
}

char *log_read_all(const struct log_fixture *r, struct log_request request, size_t slice)
{
	struct log_reader *lr = NULL;
	struct err e;
	char *text;

	if (log_reader_open(r->dir, &request, &lr, &e) < 0)
		fail_msg("%s", e.text);
	text = log_drain(lr, slice, NULL);
	log_reader_free(lr);
	return text;
}

const char *log_after_header(const char *text)
{
	assert_memory_equal(text, "===== boot ", 11);
	return strchr(text, '\n') + 1;
}

bool log_can_collapse(const struct log_fixture *r)
{
	auto_free char *path = xasprintf("%s/probe", r->top), *data = xcalloc(1, 16384);
	auto_close int fd = open(path, O_RDWR | O_CREAT, 0600);

	assert_int_equal(write(fd, data, 16384), 16384);
	return fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, 4096) == 0;
}
