/* SPDX-License-Identifier: Apache-2.0
 * images_test.c - an image is imported complete and verified, or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <archive.h>
#include <archive_entry.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/own.h"
#include "base/strings.h"
#include "images/images.h"

#define GOOD_META                                                                         \
	"{\"kernel\":\"bzImage\",\"initrd\":\"initrd.gz\",\"cmdline\":\"console=ttyS0\"," \
	"\"version\":\"\"}"

struct image_fixture {
	char dir[64];
	char *store, *source; /* source: a good image, "<dir>/demo-1.2.3" */
};

static char *in(const char *dir, const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void put(const char *dir, const char *name, const char *text)
{
	auto_free char *path = in(dir, name);
	struct err e;

	assert_int_equal(file_write(path, text, strlen(text), 0644, &e), 0);
}

/* Write sha256sum.txt for @names, and digest.txt. */
static void seal(const char *dir, const char *const *names)
{
	auto_buf struct buf b = { 0 };
	char hex[SHA256_HEX];
	struct err e;

	for (; *names; names++) {
		auto_free char *path = in(dir, *names), *data = NULL;
		size_t n;

		assert_int_equal(file_read(path, 1 << 24, &data, &n, &e), 0);
		id_sha256_hex(data, n, hex);
		buf_printf(&b, "%s  %s\n", hex, *names);
	}
	put(dir, "sha256sum.txt", b.data);
	id_sha256_hex(b.data, b.len, hex);
	put(dir, "digest.txt", hex);
}

static const char *const good_names[] = { "metadata.json", "bzImage", "initrd.gz", NULL };

static void make_image(const char *dir, const char *meta)
{
	assert_int_equal(mkdir(dir, 0755), 0);
	put(dir, "metadata.json", meta);
	put(dir, "bzImage", "the kernel");
	put(dir, "initrd.gz", "the initrd");
	seal(dir, good_names);
}

static int setup(void **st)
{
	struct image_fixture *r = xcalloc(1, sizeof(*r));

	strcpy(r->dir, "/tmp/images-test-XXXXXX");
	assert_non_null(mkdtemp(r->dir));
	r->store = in(r->dir, "store");
	r->source = in(r->dir, "demo-1.2.3");
	make_image(r->source, GOOD_META);
	*st = r;
	return 0;
}

static int teardown(void **st)
{
	struct image_fixture *r = *st;
	struct err e;

	assert_int_equal(file_remove_tree(r->dir, &e), 0);
	free(r->store);
	free(r->source);
	free(r);
	return 0;
}

static size_t entries(const char *dir)
{
	DIR *d = opendir(dir);
	size_t n = 0;

	if (!d)
		return 0;
	for (struct dirent *de; (de = readdir(d));)
		n += strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0;
	closedir(d);
	return n;
}

static bool there(const char *dir, const char *name)
{
	auto_free char *path = in(dir, name);
	struct stat s;

	return lstat(path, &s) == 0;
}

/* Verification must fail with @word in the text and leave its output untouched. */
static void refused(const char *dir, enum err_code code, const char *word)
{
	struct image img, before;
	struct err e;

	memset(&img, 0x5a, sizeof(img));
	before = img;
	assert_int_equal(image_verify(dir, NULL, &img, NULL, &e), -(int)code);
	if (!strstr(e.text, word) && !strstr(e.value, word) && !strstr(e.field, word))
		fail_msg("\"%s\" is in neither \"%s\", \"%s\" nor \"%s\"", word, e.field, e.value,
			 e.text);
	assert_memory_equal(&img, &before, sizeof(img));
}

static void a_valid_folder_gives_name_version_hash_and_boot_files(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *path = in(r->source, "digest.txt"), *digest = NULL;
	struct image img;
	struct image_boot boot;
	struct err e;

	assert_int_equal(image_verify(r->source, NULL, &img, &boot, &e), 0);
	assert_string_equal(img.name, "demo-1.2.3");
	assert_string_equal(img.family, "demo");
	assert_string_equal(img.version, "1.2.3");
	assert_int_equal(img.nv, 3);
	assert_int_equal(img.v[1], 2);
	assert_int_equal(file_read(path, 100, &digest, NULL, &e), 0);
	assert_string_equal(img.os_image_hash, digest);
	assert_int_equal(img.bytes, strlen(GOOD_META) + 20);
	assert_string_equal(boot.kernel, "bzImage");
	assert_string_equal(boot.cmdline, "console=ttyS0");
	assert_string_equal(boot.bios, "");
}

static void a_tampered_file_is_named_with_both_hashes(void **st)
{
	const struct image_fixture *r = *st;

	put(r->source, "bzImage", "the kerneL");
	refused(r->source, ERR_INVALID, "bzImage");
}

static void an_artefact_that_is_not_listed_is_refused(void **st)
{
	const struct image_fixture *r = *st;

	seal(r->source, (const char *const[]){ "metadata.json", "bzImage", NULL });
	refused(r->source, ERR_INVALID, "initrd.gz");
	seal(r->source, (const char *const[]){ "initrd.gz", "bzImage", NULL });
	refused(r->source, ERR_INVALID, "metadata.json");
}

static void a_file_nobody_listed_is_refused(void **st)
{
	const struct image_fixture *r = *st;

	put(r->source, "stowaway", "x");
	refused(r->source, ERR_INVALID, "stowaway");
}

static void a_listed_file_that_is_gone_is_refused(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *path = in(r->source, "extra");

	put(r->source, "extra", "x");
	seal(r->source,
	     (const char *const[]){ "metadata.json", "bzImage", "initrd.gz", "extra", NULL });
	assert_int_equal(unlink(path), 0);
	refused(r->source, ERR_INVALID, "extra is missing");
}

static void a_link_is_refused_even_to_the_same_bytes(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *path = in(r->source, "bzImage"), *away = in(r->dir, "elsewhere");

	assert_int_equal(rename(path, away), 0);
	assert_int_equal(symlink(away, path), 0);
	refused(r->source, ERR_INVALID, "bzImage is a link");
}

static void a_fifo_does_not_hang_the_check(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *path = in(r->source, "bzImage");

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0644), 0);
	refused(r->source, ERR_INVALID, "bzImage is not a regular file");
}

static void a_wrong_digest_is_refused(void **st)
{
	const struct image_fixture *r = *st;

	put(r->source, "digest.txt",
	    "00000000000000000000000000000000000000000000000000000000000000ff\n");
	refused(r->source, ERR_INVALID, "digest.txt");
}

static void a_digest_with_a_newline_is_fine_and_with_more_is_not(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *path = in(r->source, "digest.txt"), *digest = NULL, *more = NULL;
	struct image img;
	struct err e;

	assert_int_equal(file_read(path, 100, &digest, NULL, &e), 0);
	more = xasprintf("%s\n", digest);
	put(r->source, "digest.txt", more);
	assert_int_equal(image_verify(r->source, NULL, &img, NULL, &e), 0);
	free(take_ptr(&more));
	more = xasprintf("%s\n\n", digest);
	put(r->source, "digest.txt", more);
	refused(r->source, ERR_INVALID, "digest.txt");
}

static void malformed_sums_are_refused_by_line(void **st)
{
	const struct image_fixture *r = *st;
	const char *const bad[] = {
		"nonsense\n",
		"00 x\n",
		"0000000000000000000000000000000000000000000000000000000000000000\tbzImage\n",
		"0000000000000000000000000000000000000000000000000000000000000000  ../etc/passwd\n",
		"0000000000000000000000000000000000000000000000000000000000000000  /etc/passwd\n",
		"0000000000000000000000000000000000000000000000000000000000000000  \n",
		"000000000000000000000000000000000000000000000000000000000000000g  bzImage\n",
		"0000000000000000000000000000000000000000000000000000000000000000  digest.txt\n"
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char hex[SHA256_HEX];

		put(r->source, "sha256sum.txt", bad[i]);
		id_sha256_hex(bad[i], strlen(bad[i]), hex);
		put(r->source, "digest.txt", hex);
		refused(r->source, ERR_INVALID, "line 1 of sha256sum.txt");
	}
}

static void metadata_names_the_key_that_is_wrong(void **st)
{
	static const struct {
		const char *meta, *word;
	} bad[] = {
		{ "", "metadata.json" },
		{ "[]", "metadata.json" },
		{ "{\"kernel\":\"a\",\"kernel\":\"b\"}", "metadata.json" },
		{ "{}", "metadata.json.kernel" },
		{ "{\"kernel\":\"bzImage\"}", "metadata.json.initrd" },
		{ "{\"initrd\":\"initrd.gz\"}", "metadata.json.kernel" },
		{ "{\"kernel\":7,\"initrd\":\"initrd.gz\"}", "metadata.json.kernel" },
		{ "{\"kernel\":\"../bzImage\",\"initrd\":\"initrd.gz\"}", "metadata.json.kernel" },
		{ "{\"kernel\":\"/boot/bzImage\",\"initrd\":\"initrd.gz\"}",
		  "metadata.json.kernel" },
		{ "{\"kernel\":\"..\",\"initrd\":\"initrd.gz\"}", "metadata.json.kernel" },
		{ "{\"kernel\":\"bzImage\",\"initrd\":\"initrd.gz\",\"cmdline\":\"a\\nb\"}",
		  "metadata.json.cmdline" },
		{ "{\"kernel\":\"bzImage\",\"initrd\":\"initrd.gz\",\"version\":\"1.2\"}",
		  "metadata.json.version" },
		{ "{\"kernel\":\"bzImage\",\"initrd\":\"initrd.gz\",\"version\":\"1.2.4\"}",
		  "metadata.json.version" },
		{ "{\"kernel\":\"bzImage\",\"initrd\":\"initrd.gz\",\"is_dev\":\"yes\"}",
		  "metadata.json.is_dev" },
		{ "{\"rootfs\":\"bzImage\",\"cmdline\":\"quiet\"}", "metadata.json.cmdline" },
	};
	const struct image_fixture *r = *st;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		put(r->source, "metadata.json", bad[i].meta);
		seal(r->source, good_names);
		refused(r->source, ERR_INVALID, bad[i].word);
	}
}

static void a_command_line_of_2047_bytes_fits_and_2048_do_not(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *line = xmalloc(2049), *meta = NULL, *longer = NULL;
	struct image img;
	struct image_boot boot;
	struct err e;

	memset(line, 'x', 2048);
	line[2047] = '\0';
	meta = xasprintf("{\"kernel\":\"bzImage\",\"initrd\":\"initrd.gz\",\"cmdline\":\"%s\"}",
			 line);
	put(r->source, "metadata.json", meta);
	seal(r->source, good_names);
	assert_int_equal(image_verify(r->source, NULL, &img, &boot, &e), 0);
	assert_int_equal(strlen(boot.cmdline), 2047);
	line[2047] = 'x';
	line[2048] = '\0';
	longer = xasprintf("{\"kernel\":\"bzImage\",\"initrd\":\"initrd.gz\",\"cmdline\":\"%s\"}",
			   line);
	put(r->source, "metadata.json", longer);
	seal(r->source, good_names);
	refused(r->source, ERR_INVALID, "metadata.json.cmdline");
}

static void a_root_disk_that_boots_by_itself_needs_no_kernel(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *dir = in(r->dir, "boot-2.0.0.7");
	struct image img;
	struct image_boot boot;
	struct err e;

	assert_int_equal(mkdir(dir, 0755), 0);
	put(dir, "metadata.json",
	    "{\"rootfs\":\"disk.img\",\"version\":\"2.0.0.7\",\"is_dev\":true,\"shared_ro\":true,"
	    "\"kernel\":null,\"serial_progress\":true,\"git_revision\":\"abc\"}");
	put(dir, "disk.img", "sector");
	seal(dir, (const char *const[]){ "metadata.json", "disk.img", NULL });
	assert_int_equal(image_verify(dir, NULL, &img, NULL, &e), 0);
	assert_int_equal(image_boot_read(dir, &boot, &e), 0);
	assert_true(img.is_dev);
	assert_int_equal(img.nv, 4);
	assert_int_equal(img.v[3], 7);
	assert_string_equal(boot.rootfs, "disk.img");
	assert_true(boot.shared_ro && boot.serial_progress);
	assert_string_equal(boot.kernel, "");
}

static void names_and_versions(void **st)
{
	const char *const bad[] = { "", ".x", "-x", "a..b", "a/b", "a b", "caf\xc3\xa9", "a\n" };
	const char *const none[] = { "dstack",           "dstack-0.5",       "dstack-0.5.4-rc1",
				     "-1.2.3",           "dstack-1.2.3.4.5", "dstack-1..3",
				     "dstack-1.2.70000", "dstack-1.2.3.",    "dstack-+1.2.3" };
	char family[IMAGE_NAME], version[IMAGE_VERSION], longest[66];
	unsigned v[4], nv;
	struct err e;

	(void)st;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(image_name_check("image", bad[i], &e), -ERR_INVALID);
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_false(image_name_split(none[i], family, version, v, &nv));
	memset(longest, 'a', 65);
	longest[65] = '\0';
	assert_int_equal(image_name_check("image", longest, &e), -ERR_INVALID);
	longest[64] = '\0';
	assert_int_equal(image_name_check("image", longest, &e), 0);
	assert_true(image_name_split("dstack-dev-0.5.10", family, version, v, &nv));
	assert_string_equal(family, "dstack-dev");
	assert_string_equal(version, "0.5.10");
	assert_int_equal(v[2], 10);
}

static void versions_compare_as_numbers(void **st)
{
	struct image a = { .v = { 0, 5, 10 }, .nv = 3 }, b = { .v = { 0, 5, 9, 3 }, .nv = 4 };

	(void)st;
	assert_true(image_version_compare(&a, &b) > 0);
	assert_true(image_version_compare(&b, &a) < 0);
	assert_int_equal(image_version_compare(&a, &a), 0);
}

static void a_folder_is_imported_under_its_own_name(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *path = in(r->store, "demo-1.2.3");
	struct image img, again;
	struct err e;

	assert_int_equal(image_import(r->store, r->source, NULL, NULL, &img, NULL, &e), 0);
	assert_string_equal(img.name, "demo-1.2.3");
	assert_true(img.created_ms > 0);
	assert_int_equal(entries(r->store), 1);
	assert_int_equal(image_verify(path, NULL, &again, NULL, &e), 0);
	assert_string_equal(again.os_image_hash, img.os_image_hash);
}

static void importing_twice_is_one_import(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *path = in(r->store, "demo-1.2.3"), *kernel = in(path, "bzImage"),
		       *first = NULL, *second = NULL;
	const struct timespec long_ago[2] = { { .tv_sec = 1 }, { .tv_sec = 1 } };
	struct image a, b;
	struct err e;

	assert_int_equal(image_import(r->store, r->source, NULL, NULL, &a, &first, &e), 0);
	assert_int_equal(image_record_check(path, first, &e), 0);
	/* The existing folder stays, and the record is that of its files. */
	assert_int_equal(utimensat(AT_FDCWD, kernel, long_ago, 0), 0);
	assert_int_equal(image_record_check(path, first, &e), -ERR_CONFLICT);
	assert_int_equal(image_import(r->store, r->source, NULL, NULL, &b, &second, &e), 0);
	assert_int_equal(image_record_check(path, second, &e), 0);
	assert_string_equal(a.os_image_hash, b.os_image_hash);
	assert_int_equal(entries(r->store), 1);
}

static void the_same_name_with_other_content_is_a_conflict(void **st)
{
	const struct image_fixture *r = *st;
	struct image img;
	struct err e;

	assert_int_equal(image_import(r->store, r->source, NULL, NULL, &img, NULL, &e), 0);
	put(r->source, "bzImage", "another kernel");
	seal(r->source, good_names);
	assert_int_equal(image_import(r->store, r->source, NULL, NULL, &img, NULL, &e),
			 -ERR_CONFLICT);
	assert_int_equal(entries(r->store), 1);
}

static void a_bad_image_leaves_nothing_in_the_store(void **st)
{
	const struct image_fixture *r = *st;
	struct image img, before;
	struct err e;

	memset(&img, 0x5a, sizeof(img));
	before = img;
	put(r->source, "bzImage", "tampered");
	assert_int_equal(image_import(r->store, r->source, NULL, NULL, &img, NULL, &e),
			 -ERR_INVALID);
	assert_int_equal(image_import(r->store, "/nonexistent/image", NULL, NULL, &img, NULL, &e),
			 -ERR_NOT_FOUND);
	assert_int_equal(image_import(r->store, "/dev/null", NULL, NULL, &img, NULL, &e),
			 -ERR_INVALID);
	assert_int_equal(entries(r->store), 0);
	assert_memory_equal(&img, &before, sizeof(img));
}

static void a_name_without_a_version_is_refused_with_a_hint(void **st)
{
	const struct image_fixture *r = *st;
	struct image img;
	struct err e;

	assert_int_equal(image_import(r->store, r->source, "demo", NULL, &img, NULL, &e),
			 -ERR_INVALID);
	assert_string_equal(e.hint, "name it demo-1.0.0");
	assert_int_equal(entries(r->store), 0);
}

/* ------------------------------------------------------------------ archives */

struct member {
	const char *path, *data; /* data NULL: a folder */
	unsigned type;           /* 0: AE_IFREG or AE_IFDIR */
	const char *link;
};

static void write_tar(const char *path, const struct member *m, size_t n)
{
	struct archive *a = archive_write_new();

	archive_write_add_filter_gzip(a);
	archive_write_set_format_gnutar(a);
	assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
	for (size_t i = 0; i < n; i++) {
		struct archive_entry *en = archive_entry_new();
		size_t len = m[i].data ? strlen(m[i].data) : 0;

		archive_entry_set_pathname(en, m[i].path);
		archive_entry_set_filetype(en, m[i].type   ? m[i].type
					       : m[i].data ? AE_IFREG
							   : AE_IFDIR);
		archive_entry_set_perm(en, 0644);
		if (m[i].type == AE_IFLNK)
			archive_entry_set_symlink(en, m[i].link);
		else if (m[i].link)
			archive_entry_set_hardlink(en, m[i].link);
		archive_entry_set_size(en, (la_int64_t)len);
		assert_int_equal(archive_write_header(a, en), ARCHIVE_OK);
		if (len)
			assert_int_equal(archive_write_data(a, m[i].data, len), (la_ssize_t)len);
		archive_entry_free(en);
	}
	archive_write_close(a);
	archive_write_free(a);
}

static char *slurp(const char *dir, const char *name)
{
	auto_free char *path = in(dir, name);
	char *text = NULL;
	struct err e;

	assert_int_equal(file_read(path, 1 << 20, &text, NULL, &e), 0);
	return text;
}

/* A tar of the good image, with @top before each name and @extra as the last entry. */
static void tar_good(const struct image_fixture *r, const char *path, const char *top,
		     const struct member *extra)
{
	const char *const names[] = { "metadata.json", "bzImage", "initrd.gz", "sha256sum.txt",
				      "digest.txt" };
	struct member m[6];

	for (size_t i = 0; i < 5; i++)
		m[i] = (struct member){ .path = xasprintf("%s%s", top, names[i]),
					.data = slurp(r->source, names[i]) };
	if (extra)
		m[5] = *extra;
	write_tar(path, m, extra ? 6 : 5);
	for (size_t i = 0; i < 5; i++) {
		free((char *)m[i].path);
		free((char *)m[i].data);
	}
}

static void tars_with_and_without_a_top_folder_are_taken(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *a = in(r->dir, "a.tar.gz"), *b = in(r->dir, "flat-3.2.1.tar.gz");
	struct image img;
	struct err e;

	tar_good(r, a, "./top-9.8.7/", NULL);
	assert_int_equal(image_import(r->store, a, NULL, NULL, &img, NULL, &e), 0);
	assert_string_equal(img.name, "top-9.8.7");
	tar_good(r, b, "./", NULL);
	assert_int_equal(image_import(r->store, b, NULL, NULL, &img, NULL, &e), 0);
	assert_string_equal(img.name, "flat-3.2.1");
	assert_int_equal(image_import(r->store, b, "named-1.0.0", NULL, &img, NULL, &e), 0);
	assert_string_equal(img.name, "named-1.0.0");
	assert_int_equal(entries(r->store), 3);
}

static void entries_that_climb_link_or_nest_are_refused_by_name(void **st)
{
	static const struct member bad[] = {
		{ .path = "../escaped", .data = "x" },
		{ .path = "demo-1.2.3/../../escaped", .data = "x" },
		{ .path = "/tmp/escaped", .data = "x" },
		{ .path = "demo-1.2.3/sub/file", .data = "x" },
		{ .path = "demo-1.2.3/sub/", .data = NULL },
		{ .path = "other/file", .data = "x" },
		{ .path = "atthetop", .data = "x" },
		{ .path = "demo-1.2.3/bzImage", .data = "again" },
		{ .path = "demo-1.2.3/link", .data = "", .type = AE_IFLNK, .link = "/etc/passwd" },
		{ .path = "demo-1.2.3/hard", .data = "", .link = "demo-1.2.3/bzImage" },
		{ .path = "demo-1.2.3/fifo", .data = "", .type = AE_IFIFO },
		{ .path = "demo-1.2.3/tty", .data = "", .type = AE_IFCHR },
	};
	const struct image_fixture *r = *st;
	auto_free char *tar = in(r->dir, "evil.tar.gz");

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct image img;
		struct err e;

		tar_good(r, tar, "demo-1.2.3/", &bad[i]);
		assert_int_equal(image_import(r->store, tar, NULL, NULL, &img, NULL, &e),
				 -ERR_INVALID);
		if (!*e.value || !strstr(bad[i].path, e.value))
			fail_msg("%s is not named: %s", bad[i].path, e.value);
		assert_int_equal(entries(r->store), 0);
	}
	assert_false(there(r->dir, "escaped"));
	assert_false(there("/tmp", "escaped"));
}

static void a_cut_or_foreign_archive_is_refused(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *tar = in(r->dir, "demo-1.2.3.tar.gz");
	struct image img;
	struct err e;
	struct stat s;

	tar_good(r, tar, "demo-1.2.3/", NULL);
	assert_int_equal(stat(tar, &s), 0);
	assert_int_equal(truncate(tar, s.st_size / 2), 0);
	assert_int_equal(image_import(r->store, tar, NULL, NULL, &img, NULL, &e), -ERR_INVALID);
	put(r->dir, "demo-1.2.3.tar.gz", "this is no archive at all, whatever its name says");
	assert_int_equal(image_import(r->store, tar, NULL, NULL, &img, NULL, &e), -ERR_INVALID);
	assert_string_equal(e.field, "source");
	assert_int_equal(entries(r->store), 0);
}

static void a_write_that_fails_half_way_leaves_nothing(void **st)
{
	const struct image_fixture *r = *st;
	struct rlimit old, small = { 0 };
	struct image img;
	struct err e;

	put(r->source, "bzImage",
	    "a kernel that is clearly longer than sixty-four bytes, all of which will not fit "
	    "here");
	seal(r->source, good_names);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
	small = old;
	small.rlim_cur = 64;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	int got = image_import(r->store, r->source, NULL, NULL, &img, NULL, &e);

	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(got, -ERR_HOST);
	assert_int_equal(e.sys, EFBIG);
	assert_int_equal(entries(r->store), 0);
}

static void a_full_disk_says_so_and_leaves_nothing(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *small = in(r->dir, "small"), *store = in(small, "store"),
		       *big = xmalloc(300001);
	struct image img;
	struct err e;
	int got;

	assert_int_equal(mkdir(small, 0755), 0);
	if (mount("tmpfs", small, "tmpfs", 0, "size=128k") < 0)
		skip();
	memset(big, 'k', 300000);
	big[300000] = '\0';
	put(r->source, "bzImage", big);
	seal(r->source, good_names);
	got = image_import(store, r->source, NULL, NULL, &img, NULL, &e);
	size_t left = entries(store);

	umount2(small, MNT_DETACH);
	assert_int_equal(got, -ERR_HOST);
	assert_int_equal(e.sys, ENOSPC);
	assert_int_equal(left, 0);
}

static void removal_takes_the_image_and_what_a_crash_left(void **st)
{
	const struct image_fixture *r = *st;
	auto_free char *left = in(r->store, ".tmp-0123456789abcdef-0123456789abcdef");
	struct image img;
	struct err e;

	assert_int_equal(image_import(r->store, r->source, NULL, NULL, &img, NULL, &e), 0);
	assert_int_equal(image_import(r->store, r->source, "keep-1.0.0", NULL, &img, NULL, &e), 0);
	assert_int_equal(mkdir(left, 0755), 0);
	put(left, "bzImage", "half");
	assert_int_equal(image_remove_files(r->store, "demo-1.2.3", &e), 0);
	assert_false(there(r->store, "demo-1.2.3"));
	assert_true(there(r->store, "keep-1.0.0"));
	assert_int_equal(entries(r->store), 1);
	assert_int_equal(image_remove_files(r->store, "demo-1.2.3", &e), 0);
	assert_int_equal(image_remove_files(r->store, "../demo-1.2.3", &e), -ERR_INVALID);
	assert_int_equal(image_remove_files(r->store, NULL, &e), 0);
	assert_true(there(r->dir, "demo-1.2.3"));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest t[] = {
		T(a_valid_folder_gives_name_version_hash_and_boot_files),
		T(a_tampered_file_is_named_with_both_hashes),
		T(an_artefact_that_is_not_listed_is_refused),
		T(a_file_nobody_listed_is_refused),
		T(a_listed_file_that_is_gone_is_refused),
		T(a_link_is_refused_even_to_the_same_bytes),
		T(a_fifo_does_not_hang_the_check),
		T(a_wrong_digest_is_refused),
		T(a_digest_with_a_newline_is_fine_and_with_more_is_not),
		T(malformed_sums_are_refused_by_line),
		T(metadata_names_the_key_that_is_wrong),
		T(a_command_line_of_2047_bytes_fits_and_2048_do_not),
		T(a_root_disk_that_boots_by_itself_needs_no_kernel),
		T(names_and_versions),
		T(versions_compare_as_numbers),
		T(a_folder_is_imported_under_its_own_name),
		T(importing_twice_is_one_import),
		T(the_same_name_with_other_content_is_a_conflict),
		T(a_bad_image_leaves_nothing_in_the_store),
		T(a_name_without_a_version_is_refused_with_a_hint),
		T(tars_with_and_without_a_top_folder_are_taken),
		T(entries_that_climb_link_or_nest_are_refused_by_name),
		T(a_cut_or_foreign_archive_is_refused),
		T(a_write_that_fails_half_way_leaves_nothing),
		T(a_full_disk_says_so_and_leaves_nothing),
		T(removal_takes_the_image_and_what_a_crash_left),
	};

	return cmocka_run_group_tests_name("images", t, NULL, NULL);
}
