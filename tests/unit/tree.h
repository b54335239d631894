/* SPDX-License-Identifier: Apache-2.0
 * tree.h - a machine made of files: /proc, /sys and /dev below a temporary folder, new for each
 * test.
 */
#ifndef TEEPOD_TESTS_UNIT_TREE_H
#define TEEPOD_TESTS_UNIT_TREE_H

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"

static char tree_root[64];

/* cmocka set-up and tear-down. */
static inline int tree_set_up(void **state)
{
	(void)state;
	strcpy(tree_root, "/tmp/teepod-tree-XXXXXX");
	return mkdtemp(tree_root) ? 0 : -1;
}

static inline int tree_tear_down(void **state)
{
	struct err e;

	(void)state;
	return file_remove_tree(tree_root, &e);
}

/* The file @path below the root, with its folders. */
static inline void tree_put_bytes(const char *path, const void *data, size_t n)
{
	auto_free char *full = xasprintf("%s%s", tree_root, path), *folder = xstrdup(full);
	struct err e;

	*strrchr(folder, '/') = '\0';
	assert_int_equal(file_mkdirs(folder, 0700, &e), 0);
	assert_int_equal(file_write(full, data, n, 0600, &e), 0);
}

static inline void tree_put(const char *path, const char *text)
{
	tree_put_bytes(path, text, strlen(text));
}

/* A file or a whole folder. */
static inline void tree_remove(const char *path)
{
	auto_free char *full = xasprintf("%s%s", tree_root, path);
	struct err e;

	assert_int_equal(file_remove_tree(full, &e), 0);
}

#endif
