/* SPDX-License-Identifier: Apache-2.0
 * disk_test.c - new data disks, compared with those of qemu-img.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "tests/unit/temp_dir.h"
#include "vmm/guest/disk.h"
#include "vmm/virt/child.h"

/* One L1 entry for 512 MiB: the first sizes fill a part of one cluster with them, the others need
 * a whole one, and more. */
static const int64_t sizes_gib[] = { 1, 3, 4096, 4097, 16385 };

static void run_program(const char *const argv[])
{
	struct err e;

	if (child_run((char *const *)(uintptr_t)argv, &e))
		fail_msg("%s %s: %s", argv[0], argv[1], e.text);
}

#define RUN(...) run_program((const char *const[]){ __VA_ARGS__, NULL })

static void a_new_disk_is_as_qemu_img_makes_it_and_can_be_used(void **st)
{
	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(sizes_gib); i++) {
		auto_free char *path = xasprintf("%s/%zu.img", temp_dir, i);
		auto_free char *theirs = xasprintf("%s/%zu.theirs", temp_dir, i);
		auto_free char *size = xasprintf("%lldG", (long long)sizes_gib[i]);
		struct stat ours_st, theirs_st;
		struct err e;

		assert_int_equal(disk_create(path, sizes_gib[i], &e), 0);
		assert_int_equal(disk_check(path, sizes_gib[i], sizes_gib[i], &e), 0);
		RUN("qemu-img", "create", "-f", "qcow2", theirs, size);
		RUN("qemu-img", "compare", "-s", path, theirs);
		assert_int_equal(stat(path, &ours_st), 0);
		assert_int_equal(stat(theirs, &theirs_st), 0);
		assert_int_equal(ours_st.st_size, theirs_st.st_size);
		assert_int_equal(ours_st.st_mode & 0777, 0600);
		RUN("qemu-io", "-c", "write -P 7 510M 8M", path);
		RUN("qemu-io", "-c", "read -P 7 510M 8M", path);
		RUN("qemu-img", "check", path);
	}
}

static void a_new_disk_grows(void **st)
{
	auto_free char *path = xasprintf("%s/grows.img", temp_dir);
	struct err e;

	(void)st;
	assert_int_equal(disk_create(path, 1, &e), 0);
	assert_int_equal(disk_grow(path, 5000, &e), 0);
	assert_int_equal(disk_check(path, 5000, 5000, &e), 0);
	RUN("qemu-img", "check", path);
}

/* A qemu-img that grows the disk and then fails, as one does that is killed late. */
static void a_disk_that_has_grown_counts_although_qemu_img_failed(void **st)
{
	auto_free char *path = xasprintf("%s/late.img", temp_dir);
	auto_free char *bin = xasprintf("%s/qemu-img", temp_dir);
	auto_free char *old = xasprintf("%s", getenv("PATH"));
	auto_free char *env = xasprintf("%s:%s", temp_dir, old);
	static const char script[] = "#!/bin/sh\nPATH=${PATH#*:}; qemu-img \"$@\"; exit 1\n";
	struct err e;

	(void)st;
	assert_int_equal(disk_create(path, 1, &e), 0);
	assert_int_equal(file_write(bin, script, sizeof(script) - 1, 0755, &e), 0);
	assert_int_equal(setenv("PATH", env, 1), 0);
	assert_int_equal(disk_grow(path, 2, &e), 0);
	assert_int_equal(setenv("PATH", old, 1), 0);
	assert_int_equal(disk_check(path, 2, 2, &e), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_disk_is_as_qemu_img_makes_it_and_can_be_used),
		cmocka_unit_test(a_new_disk_grows),
		cmocka_unit_test(a_disk_that_has_grown_counts_although_qemu_img_failed),
	};

	return cmocka_run_group_tests(tests, temp_dir_set_up, temp_dir_tear_down);
}
