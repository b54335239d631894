/* SPDX-License-Identifier: Apache-2.0
 * guest_files_test.c - the shared folder has exactly the bytes that were hashed, and no older
 * files.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "base/own.h"
#include "base/strings.h"
#include "vmm/guest/guest_files.h"

struct files_fixture {
	char top[64];
	char *dir;
};

static int setup(void **st)
{
	struct files_fixture *r = xcalloc(1, sizeof(*r));

	strcpy(r->top, "/tmp/guest-files-test-XXXXXX");
	assert_non_null(mkdtemp(r->top));
	r->dir = xasprintf("%s/cvm/shared", r->top);
	*st = r;
	return 0;
}

static int teardown(void **st)
{
	struct files_fixture *r = *st;
	struct err e;

	assert_int_equal(file_remove_tree(r->top, &e), 0);
	free(r->dir);
	free(r);
	return 0;
}

#define APP_ID "00112233445566778899aabbccddeeff00112233"

static struct guest_files usual(const struct files_fixture *r)
{
	static const char *const kms[] = { "https://kms.example:8000", NULL };

	return (struct guest_files){
		.dir = r->dir,
		.app_compose = "{\"name\":\"x\"}",
		.app_compose_len = 12,
		.app_id = APP_ID,
		.encrypted_env = "\0\1\2",
		.encrypted_env_len = 3,
		.user_config = "hello",
		.kms_urls = kms,
		.pccs_url = "https://pccs.example",
		.host_api_port = 10000,
		.vm = { .os_image_hash = "ab",
			.image = "dstack-0.5.4",
			.vcpus = 2,
			.memory_mib = 2048,
			.num_nics = 1 },
	};
}

static char *content(const struct files_fixture *r, const char *name, size_t *n)
{
	auto_free char *path = xasprintf("%s/%s", r->dir, name);
	char *text = NULL;
	struct err e;

	if (file_read(path, 1 << 20, &text, n, &e) < 0)
		return NULL;
	return text;
}

static void write_ok(const struct guest_files *g)
{
	struct err e;

	if (guest_files_write(g, &e) < 0)
		fail_msg("%s", e.text);
}

static void every_file_has_its_exact_bytes(void **st)
{
	const struct files_fixture *r = *st;
	struct guest_files g = usual(r);
	auto_free char *compose = NULL, *env = NULL, *user = NULL, *info = NULL;
	size_t n;

	write_ok(&g);
	compose = content(r, "app-compose.json", &n);
	assert_string_equal(compose, "{\"name\":\"x\"}");
	env = content(r, ".encrypted-env", &n);
	assert_int_equal(n, 3);
	assert_memory_equal(env, "\0\1\2", 3);
	user = content(r, ".user-config", &n);
	assert_string_equal(user, "hello");
	info = content(r, ".instance_info", &n);
	assert_string_equal(info, "{\"app_id\":\"" APP_ID "\"}");
}

static void sys_config_carries_the_nodes_addresses_and_vm_config_as_text(void **st)
{
	const struct files_fixture *r = *st;
	struct guest_files g = usual(r);
	auto_json json_t *sys = NULL, *vm = NULL;
	auto_free char *text = NULL;
	const char *vm_text;
	struct err e;
	size_t n;

	write_ok(&g);
	text = content(r, ".sys-config.json", &n);
	sys = json_read(text, n, &e);
	assert_non_null(sys);
	assert_string_equal(json_string_value(json_array_get(json_object_get(sys, "kms_urls"), 0)),
			    "https://kms.example:8000");
	assert_int_equal(json_array_size(json_object_get(sys, "gateway_urls")), 0);
	assert_true(json_is_array(json_object_get(sys, "gateway_urls")));
	assert_string_equal(json_string_value(json_object_get(sys, "host_api_url")),
			    "vsock://2:10000/api");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(sys, "collateral_urls"), "pccs")),
		"https://pccs.example");
	assert_true(json_is_null(json_object_get(sys, "nvidia_attestation_proxy_url")));
	assert_null(json_object_get(sys, "mr_config"));
	vm_text = json_string_value(json_object_get(sys, "vm_config"));
	vm = json_read(vm_text, strlen(vm_text), &e);
	assert_int_equal(json_integer_value(json_object_get(vm, "memory_size")), 2147483648);
	assert_int_equal(json_integer_value(json_object_get(vm, "cpu_count")), 2);
	assert_int_equal(json_integer_value(json_object_get(vm, "spec_version")), 1);
	assert_string_equal(json_string_value(json_object_get(vm, "os_image_hash")), "ab");
	assert_null(json_object_get(vm, "num_nics"));
	assert_null(json_object_get(vm, "qemu_version"));
}

static void what_was_taken_away_is_gone_and_the_identity_stays(void **st)
{
	const struct files_fixture *r = *st;
	struct guest_files g = usual(r);
	auto_free char *path = xasprintf("%s/.instance_info", r->dir), *info = NULL;
	struct err e;
	size_t n;

	write_ok(&g);
	assert_int_equal(file_write(path, "guest's own", 11, 0644, &e), 0);
	g.encrypted_env = NULL;
	g.user_config = "";
	write_ok(&g);
	assert_null(content(r, ".encrypted-env", &n));
	assert_null(content(r, ".user-config", &n));
	info = content(r, ".instance_info", &n);
	assert_string_equal(info, "guest's own");
}

static void a_link_or_fifo_the_guest_planted_is_replaced(void **st)
{
	const struct files_fixture *r = *st;
	struct guest_files g = usual(r);
	auto_free char *sys = xasprintf("%s/.sys-config.json", r->dir),
		       *info = xasprintf("%s/.instance_info", r->dir);
	auto_free char *temp = xasprintf("%s/app-compose.json.tmp", r->dir),
		       *victim = xasprintf("%s/victim", r->top);
	auto_free char *untouched = NULL;
	struct stat s;
	struct err e;

	assert_int_equal(file_mkdirs(r->dir, 0755, &e), 0);
	assert_int_equal(file_write(victim, "safe", 4, 0644, &e), 0);
	assert_int_equal(symlink(victim, sys), 0);
	assert_int_equal(mkfifo(info, 0644), 0);
	assert_int_equal(mkfifo(temp, 0644), 0);
	write_ok(&g);
	assert_int_equal(lstat(sys, &s), 0);
	assert_true(S_ISREG(s.st_mode));
	assert_int_equal(lstat(info, &s), 0);
	assert_true(S_ISREG(s.st_mode));
	assert_int_equal(file_read(victim, 100, &untouched, NULL, &e), 0);
	assert_string_equal(untouched, "safe");
}

static void more_than_a_guest_takes_is_refused_by_file(void **st)
{
	const struct files_fixture *r = *st;
	struct guest_files g = usual(r);
	auto_free char *env = xcalloc(GUEST_ENV_MAX + 1, 1), *url = xmalloc(40000);
	const char *const urls[] = { url, NULL };
	struct err e;

	g.encrypted_env = env;
	g.encrypted_env_len = GUEST_ENV_MAX;
	write_ok(&g);
	g.encrypted_env_len++;
	assert_int_equal(guest_files_write(&g, &e), -ERR_TOO_LARGE);
	assert_string_equal(e.field, ".encrypted-env");
	memset(url, 'u', 39999);
	url[39999] = '\0';
	g.gateway_urls = urls;
	assert_int_equal(guest_files_write(&g, &e), -ERR_TOO_LARGE);
	assert_string_equal(e.field, ".sys-config.json");
}

static struct stat looked_at(const char *path)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		fail_msg("no %s", path);
	return st;
}

static void only_qemus_group_comes_in_and_writes_nothing(void **st)
{
	enum { GID = 64056 };
	const struct files_fixture *r = *st;
	struct guest_files g = usual(r);
	auto_free char *cvm = xasprintf("%s/cvm", r->top),
		       *env = xasprintf("%s/.encrypted-env", r->dir);
	struct stat s;
	struct err e;

	if (geteuid() != 0)
		skip();
	g.user_config = NULL;
	write_ok(&g);
	assert_int_equal(guest_files_open_to(cvm, r->dir, GID, &e), 0);
	s = looked_at(cvm);
	assert_int_equal(s.st_mode & 07777, 0710);
	assert_int_equal(s.st_uid, 0);
	assert_int_equal(s.st_gid, GID);
	s = looked_at(r->dir);
	assert_int_equal(s.st_mode & 07777, 0750);
	assert_int_equal(s.st_gid, GID);
	assert_int_equal(looked_at(env).st_uid, 0);
	assert_int_equal(looked_at(env).st_mode & 07777, 0644);
}

/* As the unprivileged daemon does it: the file stays its own, QEMU's group gets in. */
static int open_as_user(const char *cvm, const char *shared, gid_t gid, bool member)
{
	enum { USER = 64057 };
	auto_free char *disk = xasprintf("%s/hda.img", cvm);
	struct err e = { 0 };
	pid_t child = fork();
	int status;

	if (!child) {
		if (setgroups(member, &gid) || setresgid(USER, USER, USER) ||
		    setresuid(USER, USER, USER))
			_exit(100);
		if (guest_files_open_to(cvm, shared, gid, &e) ||
		    guest_disk_open_to(disk, gid, true, &e))
			_exit(e.sys == EPERM && strstr(e.hint, "member of group") ? 1 : 101);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void give_all(const struct files_fixture *r, uid_t uid)
{
	auto_free char *command = xasprintf("chown -R %u:%u %s", uid, uid, r->top);

	assert_int_equal(system(command), 0);
}

static void a_daemon_without_privileges_shares_by_group(void **st)
{
	enum { USER = 64057, GID = 64056 };
	const struct files_fixture *r = *st;
	struct guest_files g = usual(r);
	auto_free char *cvm = xasprintf("%s/cvm", r->top), *disk = xasprintf("%s/hda.img", cvm),
		       *info = xasprintf("%s/.instance_info", r->dir);
	struct stat s;
	struct err e;

	if (geteuid() != 0)
		skip();
	write_ok(&g);
	assert_int_equal(file_write(disk, "", 0, 0600, &e), 0);
	give_all(r, USER);
	/* A guest of an older release may have made it. */
	assert_int_equal(chown(info, USER - 1, GID), 0);
	assert_int_equal(open_as_user(cvm, r->dir, GID, false), 1);
	assert_int_equal(open_as_user(cvm, r->dir, GID, true), 0);
	s = looked_at(disk);
	assert_int_equal(s.st_uid, USER);
	assert_int_equal(s.st_gid, GID);
	assert_int_equal(s.st_mode & 07777, 0660);
	assert_int_equal(looked_at(r->dir).st_mode & 07777, 0750);
	assert_int_equal(looked_at(cvm).st_mode & 07777, 0710);
	assert_int_equal(looked_at(info).st_uid, USER - 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest t[] = {
		T(every_file_has_its_exact_bytes),
		T(sys_config_carries_the_nodes_addresses_and_vm_config_as_text),
		T(what_was_taken_away_is_gone_and_the_identity_stays),
		T(a_link_or_fifo_the_guest_planted_is_replaced),
		T(more_than_a_guest_takes_is_refused_by_file),
		T(only_qemus_group_comes_in_and_writes_nothing),
		T(a_daemon_without_privileges_shares_by_group),
	};

	return cmocka_run_group_tests_name("guest files", t, NULL, NULL);
}
