/* SPDX-License-Identifier: Apache-2.0
 * options_test.c - the command line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>

#include <string.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/options.h"
#include "vmm/virt/xml_out.h"

enum { ARGS = 12 };

/* Parse @line, split at spaces. The arguments stay valid until the next call. */
static int parse(const char *line, struct options *ret, struct buf *error)
{
	static char text[256];
	char *argv[ARGS] = { "teepod" }, *save = NULL;
	int argc = 1;

	(void)snprintf(text, sizeof(text), "%s", line);
	for (char *w = strtok_r(text, " ", &save); w; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	return options_parse(argc, argv, ret, error);
}

static void expect_refused(const char *line, const char *why)
{
	struct options o = { .n_set = 77 };
	auto_buf struct buf error = { 0 };

	assert_int_equal(parse(line, &o, &error), -ERR_INVALID);
	assert_int_equal(o.n_set, 77);
	assert_string_equal(error.data, why);
}

static struct options taken(const char *line)
{
	struct options o = { 0 };
	auto_buf struct buf error = { 0 };

	if (parse(line, &o, &error) < 0)
		fail_msg("%s: %s", line, error.data);
	return o;
}

static void options_are_accepted_in_any_order_and_repeated(void **state)
{
	struct options o = taken(
		"-o a.b=c --listen x:1 --hypervisor qemu:///embed -o d.e=f --listen=y:2 -c /f");

	(void)state;
	assert_int_equal(o.action, ACTION_RUN);
	assert_string_equal(o.config_file, "/f");
	assert_string_equal(o.hypervisor, "qemu:///embed");
	assert_int_equal(o.n_set, 2);
	assert_string_equal(o.set[1], "d.e=f");
	assert_int_equal(o.n_listen, 2);
	assert_string_equal(o.listen[1], "y:2");
	assert_null(o.dev_dir);
	options_free(&o);
}

static void dev_folder_is_made_absolute(void **state)
{
	struct options o = taken("--dev some/where//");
	auto_free char *cwd = getcwd(NULL, 0), *want = xasprintf("%s/some/where", cwd);

	(void)state;
	assert_string_equal(o.dev_dir, want);
	options_free(&o);
	o = taken("--dev /a --dev /b/");
	assert_string_equal(o.dev_dir, "/b");
	options_free(&o);
}

static void each_action_option_selects_its_action(void **state)
{
	static const struct {
		const char *line;
		enum action action;
	} rows[] = {
		{ "--help", ACTION_HELP },
		{ "-h", ACTION_HELP },
		{ "--version", ACTION_VERSION },
		{ "--check-config -c /x", ACTION_CHECK_CONFIG },
		{ "--print-config", ACTION_PRINT_CONFIG },
		{ "--help-config", ACTION_HELP_CONFIG },
		{ "--check-db --dev /d", ACTION_CHECK_DB },
		{ "-c /f --check-host", ACTION_CHECK_HOST },
		{ "--accept-host --dev /d", ACTION_ACCEPT_HOST },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct options o = taken(rows[i].line);

		assert_int_equal(o.action, rows[i].action);
		options_free(&o);
	}
}

static void a_key_has_a_name_and_a_role(void **state)
{
	struct options o = taken("--add-key ci:runner:operator");

	(void)state;
	assert_int_equal(o.action, ACTION_ADD_KEY);
	assert_string_equal(o.key_name, "ci:runner");
	assert_int_equal(o.key_role, ROLE_OPERATOR);
	options_free(&o);
	expect_refused("--add-key me:boss", "--add-key me:boss: expected NAME:ROLE, where ROLE is "
					    "reader, tenant, operator or admin");
	expect_refused("--add-key :admin", "--add-key :admin: expected NAME:ROLE, where ROLE is "
					   "reader, tenant, operator or admin");
}

static void misuse_is_reported(void **state)
{
	(void)state;
	expect_refused("-x", "unknown option -x: see teepod --help");
	expect_refused("-o", "-o requires a value: see teepod --help");
	expect_refused("--dev", "--dev requires a value: see teepod --help");
	expect_refused("--nonsense",
		       "unknown, ambiguous or misused option --nonsense: see teepod --help");
	expect_refused("--check",
		       "unknown, ambiguous or misused option --check: see teepod --help");
	expect_refused("--help=x",
		       "unknown, ambiguous or misused option --help=x: see teepod --help");
	expect_refused("-o a.b=c start", "unexpected argument start: see teepod --help");
	expect_refused("--check-config --print-config",
		       "only one action is allowed: see teepod --help");
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(options_are_accepted_in_any_order_and_repeated),
		cmocka_unit_test(dev_folder_is_made_absolute),
		cmocka_unit_test(each_action_option_selects_its_action),
		cmocka_unit_test(a_key_has_a_name_and_a_role),
		cmocka_unit_test(misuse_is_reported),
	};

	return cmocka_run_group_tests_name("options", t, NULL, NULL);
}
