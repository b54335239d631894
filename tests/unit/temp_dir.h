/* SPDX-License-Identifier: Apache-2.0
 * temp_dir.h - a temporary folder for the tests of one file.
 *
 *     cmocka_run_group_tests(tests, temp_dir_set_up, temp_dir_tear_down)
 */
#ifndef TEEPOD_TESTS_UNIT_TEMP_DIR_H
#define TEEPOD_TESTS_UNIT_TEMP_DIR_H

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/strings.h"

static char temp_dir[64];

/* cmocka set-up and tear-down, for a group or for each test. */
static inline int temp_dir_set_up(void **state)
{
	(void)state;
	strcpy(temp_dir, "/tmp/teepod-test-XXXXXX");
	return mkdtemp(temp_dir) ? 0 : -1;
}

static inline int temp_dir_tear_down(void **state)
{
	struct err e;

	(void)state;
	return file_remove_tree(temp_dir, &e);
}

/* "<temporary folder>/@name", malloc'd. */
static inline char *temp_path(const char *name)
{
	return xasprintf("%s/%s", temp_dir, name);
}

#endif
