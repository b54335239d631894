/* SPDX-License-Identifier: Apache-2.0
 * log_fixture.h - the log folder of a CVM in a temporary folder: write as its guest, begin boots,
 * rotate, read.
 */
#ifndef TEEPOD_TESTS_UNIT_LOG_FIXTURE_H
#define TEEPOD_TESTS_UNIT_LOG_FIXTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/logs/log_reader.h"

struct log_limits;

struct log_fixture {
	char top[64];
	char *dir, *qemu; /* log folder, libvirt's log */
};

/* 100 bytes, 3 backups, 2 boots. */
extern const struct log_limits log_small;

/* For a test with a log folder. */
int log_fixture_set_up(void **st);
int log_fixture_tear_down(void **st);
#define WITH_LOGS(f) cmocka_unit_test_setup_teardown(f, log_fixture_set_up, log_fixture_tear_down)

void log_append(const char *path, const char *text);
void log_guest_writes(const struct log_fixture *r, const char *text);
void log_begin_boot(const struct log_fixture *r, unsigned boot);
void log_rotate(const struct log_fixture *r);
bool log_has_file(const struct log_fixture *r, const char *name);
/* Read until the reader has no more, @slice bytes at a time; the caller frees. */
char *log_drain(struct log_reader *lr, size_t slice, enum log_more *last);
char *log_read_all(const struct log_fixture *r, struct log_request request, size_t slice);
/* The text after the daemon's header line. */
const char *log_after_header(const char *text);
/* The file system can remove a range of a file. */
bool log_can_collapse(const struct log_fixture *r);

#define EVERYTHING                               \
	{                                        \
		.stream = LOG_SERIAL, .tail = -1 \
	}

#endif
