/* SPDX-License-Identifier: Apache-2.0
 * config_test.c - the configuration: key table and manuals, values, layers, errors, reload,
 * settings.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <unistd.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/config.h"
#include "daemon/config_apply.h"
#include "daemon/config_keys.h"
#include "daemon/config_member.h"
#include "daemon/config_print.h"
#include "daemon/config_value.h"
#include "daemon/config_settings.h"
#include "vmm/node/settings.h"

static char dir[64];

static char *in_dir(const char *name)
{
	return xasprintf("%s/%s", dir, name);
}

static void put(const char *name, const char *text)
{
	auto_free char *path = in_dir(name);
	struct err e;

	assert_int_equal(file_write(path, text, strlen(text), 0600, &e), 0);
}

static int set_up(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/teepod-config-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	struct err e;

	(void)state;
	return file_remove_tree(dir, &e);
}

/* Write @text to DIR/t.conf and load it, with @set (NULL-terminated) as -o options. */
static int load(const char *text, const char *const *set, struct config **ret, struct buf *errors)
{
	auto_free char *path = in_dir("t.conf");
	struct options o = { .config_file = path, .set = (const char **)set };

	while (set && set[o.n_set])
		o.n_set++;
	put("t.conf", text);
	return config_load(&o, ret, errors);
}

static struct config *good(const char *text, const char *const *set)
{
	auto_buf struct buf errors = { 0 };
	struct config *c = NULL;

	if (load(text, set, &c, &errors) < 0)
		fail_msg("%s", errors.data);
	return c;
}

/* Loading must fail. Returns the errors, without DIR/ at the start of each line. */
static char *bad(const char *text, const char *const *set)
{
	auto_buf struct buf errors = { 0 };
	struct config *c = (void *)0x77;
	struct buf out = { 0 };
	size_t n = strlen(dir) + 1;

	assert_int_equal(load(text, set, &c, &errors), -ERR_INVALID);
	assert_ptr_equal(c, (void *)0x77);
	for (const char *at = errors.data; *at; at++) {
		if ((at == errors.data || at[-1] == '\n') && !strncmp(at, dir, n - 1))
			at += n;
		buf_add(&out, at, 1);
	}
	return buf_take(&out);
}

static void expect_bad(const char *text, const char *want)
{
	auto_free char *got = bad(text, NULL);

	assert_string_equal(got, want);
}

static void expect_key(const struct config *c, const char *section, const char *name,
		       const char *want)
{
	const struct config_key *k = config_key_find(section, name);
	auto_free char *got = config_value_text(k, c);

	assert_string_equal(got, want);
}

static void expect_origin(const struct config *c, const char *section, const char *name,
			  const char *want)
{
	const char *got = c->origin[config_key_row(config_key_find(section, name))];
	size_t n = strlen(dir) + 1;

	assert_string_equal(strncmp(got, dir, n - 1) ? got : got + n, want);
}

/* ------------------------------------------------------------------ the table */

static char *source_text(const char *path)
{
	const char *root = getenv("TEEPOD_SOURCE");
	auto_free char *full = xasprintf("%s/%s", root ? root : ".", path);
	struct err e;
	char *text;

	if (file_read(full, 1 << 20, &text, NULL, &e) < 0)
		fail_msg("%s", e.text);
	return text;
}

static void shipped_file_is_the_output_of_help_config(void **state)
{
	auto_free char *shipped = source_text("configs/teepod.conf");
	auto_buf struct buf help = { 0 };

	(void)state;
	config_print_help(&help);
	assert_string_equal(shipped, help.data);
}

/* "#key = value" -> "key = value" */
static char *uncommented(const char *text)
{
	struct buf out = { 0 };

	for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
		size_t n = (size_t)(strchr(at, '\n') + 1 - at);
		bool key = *at == '#' && at[1] >= 'a' && at[1] <= 'z';

		buf_add(&out, at + key, n - key);
	}
	return buf_take(&out);
}

static void shipped_file_uncommented_sets_every_key_to_its_default(void **state)
{
	auto_free char *shipped = source_text("configs/teepod.conf"), *text = uncommented(shipped);
	struct config *c = good(text, NULL), *d = good("", NULL);

	(void)state;
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		auto_free char *a = config_value_text(k, c), *b = config_value_text(k, d);

		assert_string_equal(a, b);
		if (!strstr(d->origin[i], "default ("))
			assert_non_null(strstr(c->origin[i], "t.conf:"));
	}
	config_free(c);
	config_free(d);
}

static char *rule_of(const struct config_key *k)
{
	struct buf rule = { 0 };

	value_rule(k, &rule);
	return buf_take(&rule);
}

static void manuals_name_every_key_with_its_default_rule_and_explanation(void **state)
{
	auto_free char *md = source_text("docs/configuration.md"),
		       *man = source_text("docs/man/teepod.conf.5");

	(void)state;
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		auto_free char *heading = xasprintf("\n## [%s]\n", k->section);
		auto_free char *rule = rule_of(k);
		auto_free char *row = xasprintf("\n| `%s` | %s%s%s | %s | %s | %s | %s |\n",
						k->name, *k->preset ? "`" : "", k->preset,
						*k->preset ? "`" : "", rule, k->unit ? k->unit : "",
						k->flags & KEY_RELOAD ? "yes" : "", k->doc);
		auto_free char *item = xasprintf("\n.It Cm %s Ns = Ns Ar %s\n", k->name,
						 *k->preset ? k->preset : "\\&");
		const char *section = strstr(md, heading), *section_man;
		auto_free char *heading_man = xasprintf("\n.Ss Section [%s]\n", k->section);

		if (!section || !strstr(section, row))
			fail_msg("docs/configuration.md lacks: %s%s", heading, row);
		section_man = strstr(man, heading_man);
		if (!section_man || !strstr(section_man, item))
			fail_msg("docs/man/teepod.conf.5 lacks: %s%s", heading_man, item);
	}
}

static void every_formatted_default_parses_to_the_same_value(void **state)
{
	struct config *c = good("", NULL);

	(void)state;
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		auto_free char *before = config_value_text(k, c);
		auto_buf struct buf why = { 0 };

		assert_true(config_value_set(k, c, before, false, &why));
		expect_key(c, k->section, k->name, before);
	}
	config_free(c);
}

static void every_key_has_a_section_an_explanation_and_a_valid_range(void **state)
{
	(void)state;
	for (size_t i = 0; i < config_keys_n; i++) {
		const struct config_key *k = &config_keys[i];
		bool known = false;

		for (size_t j = 0; j < config_sections_n; j++)
			known |= !strcmp(config_sections[j].name, k->section);
		assert_true(known);
		assert_true(strlen(k->doc) > 10);
		assert_true(k->min <= k->max || !k->max);
		assert_ptr_equal(config_key_find(k->section, k->name), k);
	}
}

/* ------------------------------------------------------------------ values */

static const struct {
	const char *option, *printed; /* NULL: refused */
} values[] = {
	{ "api.drain_seconds=0", "0" },
	{ "api.drain_seconds=3600", "3600" },
	{ "api.drain_seconds=3601", NULL },
	{ "api.drain_seconds=-1", NULL },
	{ "api.drain_seconds=+1", NULL },
	{ "api.drain_seconds=1s", NULL },
	{ "node.id=0", NULL },
	{ "jobs.guest=0", NULL },
	{ "jobs.guest=512", "512" },
	{ "jobs.short=513", NULL },
	{ "api.drain_seconds=", NULL },
	{ "api.drain_seconds=99999999999999999999999", NULL },
	{ "api.drain_seconds=0x10", NULL },
	{ "logs.serial_max_bytes=4096", "4K" },
	{ "logs.serial_max_bytes=1G", "1G" },
	{ "logs.serial_max_bytes=1000", "1000" },
	{ "logs.serial_max_bytes=0", "0" },
	{ "logs.serial_max_bytes=K", NULL },
	{ "logs.serial_max_bytes=99999999999G", NULL },
	{ "api.unix_mode=600", "0600" },
	{ "api.unix_mode=0888", NULL },
	{ "api.unix_mode=07777", NULL },
	{ "ports.enabled=TRUE", "yes" },
	{ "ports.enabled=off", "no" },
	{ "ports.enabled=2", NULL },
	{ "hypervisor.tee=tdx", "tdx" },
	{ "hypervisor.tee=TDX", NULL },
	{ "hypervisor.uri=qemu+unix:///system?socket=/run/x", "qemu+unix:///system?socket=/run/x" },
	{ "hypervisor.uri=xen:///system", NULL },
	{ "capacity.vcpus=none", "none" },
	{ "capacity.vcpus=12", "12" },
	{ "capacity.vcpus=all", NULL },
	{ "node.state_dir=relative", NULL },
	{ "node.state_dir=", NULL },
	{ "node.name=two words", NULL },
	{ "node.name=-x", NULL },
	{ "node.workspace=Big", NULL },
	{ "node.workspace=team-1", "team-1" },
	{ "node.public_url=https://node.example:8443/", "https://node.example:8443" },
	{ "node.public_url=ftp://x", NULL },
	{ "node.public_url=http://", NULL },
	{ "node.public_url=http:///x", NULL },
	{ "api.listen=127.0.0.1:0,[::1]:8090, unix:/a/b", "127.0.0.1:0, [::1]:8090, unix:/a/b" },
	{ "api.listen=[0:0::1]:80", "[::1]:80" },
	{ "api.listen=::1:80", NULL },
	{ "api.listen=[127.0.0.1]:80", NULL },
	{ "api.listen=localhost:80", NULL },
	{ "api.listen=127.0.0.1", NULL },
	{ "api.listen=127.0.0.1:65536", NULL },
	{ "api.listen=127.0.0.1:", NULL },
	{ "api.listen=]:1", NULL },
	{ "api.listen=[:1", NULL },
	{ "api.listen=[]:1", NULL },
	{ "api.listen=:1", NULL },
	{ "api.listen=unix:relative", NULL },
	{ "api.listen=unix:/"
	  "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
	  "890123456789"
	  "0123456",
	  NULL },
	{ "api.listen=", "" },
	{ "api.unix_admin_uids=0, 1000", "0, 1000" },
	{ "api.unix_admin_uids=root", NULL },
	{ "api.unix_admin_uids=4294967295", NULL },
	{ "ports.range=80,tcp:8000-8010,udp:53", "80, tcp:8000-8010, udp:53" },
	{ "gpu.listing=10DE:2335, 10de:233b", "10de:2335, 10de:233b" },
	{ "gpu.listing=", "" },
	{ "gpu.listing=2335", NULL },
	{ "gpu.listing=10de:23350", NULL },
	{ "gpu.listing=10de:233g", NULL },
	{ "gpu.exclude=18:00.0, 0000:2A:00.1", "0000:18:00.0, 0000:2a:00.1" },
	{ "gpu.exclude=18:00.8", NULL },
	{ "gpu.include=18.00.0", NULL },
	{ "capacity.tdx_keyids=none", "none" },
	{ "capacity.tdx_keyids=65536", NULL },
	{ "ports.range=0-10", NULL },
	{ "ports.range=10-9", NULL },
	{ "ports.range=10-65536", NULL },
	{ "ports.range=sctp:10", NULL },
	{ "ports.range=10-", NULL },
	{ "cvm.types=a:1:2:3", "a:1:2:3" },
	{ "cvm.types=a:1:2", NULL },
	{ "cvm.types=a:1:2:3:4", NULL },
	{ "cvm.types=a:0:2:3", NULL },
	{ "cvm.types=:1:2:3", NULL },
	{ "guest.kms_urls=http://a:1/,https://b", "http://a:1, https://b" },
	{ "guest.kms_urls=a:1", NULL },
	{ "guest.docker_registry=a\tb", NULL },
	{ "host.root=/tmp/tree/", "/tmp/tree/" },
	{ "host.root=", NULL },
	{ "host.ppid=0x00112233445566778899AABBCCDDEEFF", "00112233445566778899aabbccddeeff" },
	{ "host.ppid=00112233445566778899aabbccddeef", NULL },
	{ "host.ppid=00112233445566778899aabbccddeefg", NULL },
	{ "host.ppid=0x", NULL },
	{ "host.ppid=", "" },
	{ "host.device_id=00112233445566778899aabbccddeeff", NULL },
	{ "gateway.base_domain=apps.example.org", "apps.example.org" },
	{ "gateway.base_domain=https://x", NULL },
};

static void values_are_accepted_or_rejected_by_their_type(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		const char *text = values[i].option, *dot = strchr(text, '.'),
			   *eq = strchr(text, '=');
		auto_free char *section = xstrndup(text, (size_t)(dot - text));
		auto_free char *name = xstrndup(dot + 1, (size_t)(eq - dot - 1));
		auto_buf struct buf why = { 0 };
		struct config *c = good("", NULL);
		auto_free char *before = config_value_text(config_key_find(section, name), c);
		bool taken =
			config_value_set(config_key_find(section, name), c, eq + 1, false, &why);

		if (taken != !!values[i].printed)
			fail_msg("%s was %s", text, taken ? "taken" : why.data);
		expect_key(c, section, name, taken ? values[i].printed : before);
		config_free(c);
	}
}

static void rejection_names_file_line_key_value_and_the_rule(void **state)
{
	(void)state;
	expect_bad("[logs]\n\nlevel = loud\n",
		   "t.conf:3: [logs] level: \"loud\" is not allowed: error, warn, info or debug\n");
	expect_bad("[api]\ndrain_seconds = 9999\n", "t.conf:2: [api] drain_seconds: \"9999\" is "
						    "not allowed: a whole number from 0 to 3600\n");
	expect_bad("[api]\nlisten = 127.0.0.1:0, nowhere\n",
		   "t.conf:2: [api] listen: \"nowhere\" is not allowed: ADDRESS:PORT, "
		   "[ADDRESS]:PORT or "
		   "unix:/path, with a numeric address\n");
}

static void a_removed_key_names_its_replacement(void **state)
{
	(void)state;
	expect_bad("[hypervisor]\nparallel_jobs = 32\n",
		   "t.conf:2: [hypervisor] parallel_jobs was removed; use [jobs] kill, guest, bulk "
		   "and short\n");
}

static void all_errors_are_reported_not_only_the_first(void **state)
{
	(void)state;
	expect_bad("loose = 1\n"
		   "[logs]\n"
		   "lvel = info\n"
		   "format = xml\n"
		   "just words\n"
		   "[nodes]\n"
		   "anything = 1\n"
		   "[node] junk\n"
		   "id = 7\n"
		   "[api]\n"
		   "uri = x\n"
		   "xyzzy = 1\n"
		   "listen: 1.2.3.4:5\n",
		   "t.conf:1: key before the first [SECTION]: loose\n"
		   "t.conf:3: unknown key [logs] lvel; did you mean \"level\"?\n"
		   "t.conf:4: [logs] format: \"xml\" is not allowed: text or json\n"
		   "t.conf:5: expected [SECTION], KEY = VALUE or # comment: just words\n"
		   "t.conf:6: unknown section [nodes]; did you mean [node]?\n"
		   "t.conf:8: expected [SECTION] and nothing after it: [node] junk\n"
		   "t.conf:11: unknown key [api] uri; did you mean [hypervisor] uri?\n"
		   "t.conf:12: unknown key [api] xyzzy\n"
		   "t.conf:13: expected [SECTION], KEY = VALUE or # comment: listen: 1.2.3.4:5\n");
}

static void long_lines_are_accepted_up_to_the_limit_and_nul_is_rejected(void **state)
{
	auto_buf struct buf text = { 0 };
	auto_free char *path = in_dir("t.conf");
	auto_buf struct buf errors = { 0 };
	struct options o = { .config_file = path };
	struct config *c;
	struct err e;

	(void)state;
	buf_puts(&text, "[guest]\nkms_urls = http://a");
	for (int i = 0; i < 700; i++)
		buf_puts(&text, ",http://b");
	c = good(text.data, NULL);
	assert_int_equal(c->guest.kms_urls.n, 701);
	config_free(c);
	for (int i = 0; i < 300; i++)
		buf_puts(&text, ",http://b");
	expect_bad(text.data, "t.conf:2: line longer than 8190 bytes\n");
	assert_int_equal(file_write(path, "[node]\nid = 1\0002\n", 16, 0600, &e), 0);
	assert_int_equal(config_load(&o, &c, &errors), -ERR_INVALID);
	assert_non_null(strstr(errors.data, "t.conf:2: the line contains a NUL byte"));
}

static void byte_order_mark_crlf_indent_and_comments_are_accepted(void **state)
{
	struct config *c =
		good("\xef\xbb\xbf[node]\r\n  # note\r\n; note\r\n\tid = 5\r\n\r\n region=x\r\n"
		     "[guest]\ndocker_registry = a = b ; c # d\n",
		     (const char *const[]){ "node.region=r1", NULL });

	(void)state;
	assert_int_equal(c->node.id, 5);
	assert_string_equal(c->guest.docker_registry, "a = b ; c # d");
	config_free(c);
}

/* ------------------------------------------------------------------ layers */

static void later_drop_ins_override_earlier_ones_and_options_override_all(void **state)
{
	auto_free char *d = in_dir("t.conf.d");
	struct config *c;

	(void)state;
	assert_int_equal(mkdir(d, 0700), 0);
	put("t.conf.d/20-b.conf", "[node]\nregion = b\nid = 20\n");
	put("t.conf.d/10-a.conf", "[node]\nregion = a\nid = 10\n[logs]\nlevel = debug\n");
	put("t.conf.d/30-c.conf.bak", "[node]\nid = 30\n");
	put("t.conf.d/.40.conf", "[node]\nid = 40\n");
	c = good("[node]\nid = 1\nregion = main\n[logs]\nkeep_boots = 9\n",
		 (const char *const[]){ "node.region=z", "node.region=opt", NULL });
	expect_key(c, "node", "id", "20");
	expect_origin(c, "node", "id", "t.conf.d/20-b.conf:3");
	expect_key(c, "node", "region", "opt");
	expect_origin(c, "node", "region", "-o");
	expect_key(c, "logs", "level", "debug");
	expect_origin(c, "logs", "keep_boots", "t.conf:5");
	expect_origin(c, "logs", "check_seconds", "default");
	config_free(c);
}

static void a_list_grows_within_a_file_and_is_replaced_by_the_next(void **state)
{
	auto_free char *d = in_dir("t.conf.d");
	const char *main_file =
		"[guest]\nkms_urls = http://a, http://b\n[logs]\n[guest]\nkms_urls = http://c\n"
		"gateway_urls = http://x\ngateway_urls =\ngateway_urls = http://y\n";
	struct config *c = good(main_file, NULL);

	(void)state;
	expect_key(c, "guest", "kms_urls", "http://a, http://b, http://c");
	expect_key(c, "guest", "gateway_urls", "http://y");
	config_free(c);

	assert_int_equal(mkdir(d, 0700), 0);
	put("t.conf.d/1.conf", "[guest]\nkms_urls = http://d\nkms_urls = http://e\n");
	c = good(main_file, NULL);
	expect_key(c, "guest", "kms_urls", "http://d, http://e");
	config_free(c);
	c = good(main_file, (const char *const[]){ "guest.kms_urls=http://f", NULL });
	expect_key(c, "guest", "kms_urls", "http://f");
	config_free(c);
}

static void only_the_default_file_may_be_missing(void **state)
{
	auto_free char *path = in_dir("none.conf");
	struct options o = { 0 };
	auto_buf struct buf errors = { 0 };
	struct config *c;

	(void)state;
	if (access(CONFIG_FILE_DEFAULT, F_OK)) {
		assert_int_equal(config_load(&o, &c, &errors), 0);
		expect_key(c, "api", "listen", "127.0.0.1:8090, unix:/run/teepod/teepod.sock");
		assert_string_equal(c->images.dir, "/var/lib/teepod/images");
		assert_true(*c->node.name);
		config_free(c);
	}
	o.config_file = path;
	assert_int_equal(config_load(&o, &c, &errors), -ERR_INVALID);
	assert_non_null(strstr(errors.data, "none.conf: No such file or directory"));
	o.config_file = dir;
	errors.len = 0;
	assert_int_equal(config_load(&o, &c, &errors), -ERR_INVALID);
	assert_non_null(strstr(errors.data, "Is a directory"));
}

static void dev_presets_use_its_folder_and_options_override_them(void **state)
{
	const char *listen[] = { "127.0.0.1:7777", "[::1]:7777" },
		   *set[] = { "hypervisor.tee=auto" };
	struct options o = { .dev_dir = "/tmp/d" };
	auto_buf struct buf errors = { 0 };
	struct config *c;

	(void)state;
	assert_int_equal(config_load(&o, &c, &errors), 0);
	expect_key(c, "node", "state_dir", "/tmp/d");
	expect_key(c, "images", "dir", "/tmp/d/images");
	expect_key(c, "hypervisor", "uri", "qemu:///embed");
	expect_key(c, "hypervisor", "embed_root", "/tmp/d/libvirt");
	expect_key(c, "api", "listen", "127.0.0.1:0");
	assert_int_equal(c->hypervisor.tee, TEE_NONE);
	expect_origin(c, "hypervisor", "tee", "--dev");
	config_free(c);

	o.listen = listen;
	o.n_listen = 2;
	o.set = set;
	o.n_set = 1;
	o.hypervisor = "qemu:///system";
	assert_int_equal(config_load(&o, &c, &errors), 0);
	expect_key(c, "api", "listen", "127.0.0.1:7777, [::1]:7777");
	expect_origin(c, "api", "listen", "--listen");
	expect_key(c, "hypervisor", "uri", "qemu:///system");
	assert_int_equal(c->hypervisor.tee, TEE_AUTO);
	config_free(c);
}

static void invalid_options_are_reported(void **state)
{
	const char *const set[] = { "nodots=1", "node.id", "node.iid=1", "node.id=x", NULL };
	auto_free char *got = bad("", set);

	(void)state;
	assert_string_equal(
		got, "-o nodots=1: expected SECTION.KEY=VALUE\n"
		     "-o node.id: expected SECTION.KEY=VALUE\n"
		     "-o: unknown key [node] iid; did you mean \"id\"?\n"
		     "-o: [node] id: \"x\" is not allowed: a whole number from 1 to 2147483647\n");
}

/* ------------------------------------------------------------------ rules between keys */

/* echo 00112233445566778899aabbccddeeff | xxd -r -p | sha256sum */
#define PPID      "00112233445566778899aabbccddeeff"
#define DEVICE_ID "a8faed6abbf35c12a4b26e40f6feb19d736d90045c83b9f9a31f638d323e6811"
#define OTHER_ID  "b8faed6abbf35c12a4b26e40f6feb19d736d90045c83b9f9a31f638d323e6811"

static void keys_that_contradict_each_other_are_rejected(void **state)
{
	(void)state;
	expect_bad(
		"[api]\nlisten = 0.0.0.0:8090\n",
		"t.conf:2: [api] listen: 0.0.0.0:8090 is not a loopback address: TLS is required, "
		"set tls_cert and tls_key\n");
	expect_bad("[api]\nlisten = 127.0.0.1:1, 127.0.0.1:1, 127.0.0.1:0, 127.0.0.1:0\n",
		   "t.conf:2: [api] listen: 127.0.0.1:1 is listed twice\n");
	expect_bad("[api]\ntls_cert = /nonexistent.pem\ntls_client = required\n",
		   "t.conf:2: [api] tls_cert: requires tls_key\n"
		   "t.conf:3: [api] tls_client: requires tls_client_ca, to verify client "
		   "certificates\n"
		   "t.conf:2: [api] tls_cert: /nonexistent.pem: No such file or directory\n");
	expect_bad("[ports]\ndefault_address = 127.0.0.2\nrange =\n",
		   "t.conf:3: [ports] range: is empty: to disable port forwards, set enabled = no\n"
		   "t.conf:2: [ports] default_address: 127.0.0.2 is not listed in addresses\n");
	expect_bad("[cvm]\ntypes = a:1:1:1\ntypes = a:2:2:2\n",
		   "t.conf:3: [cvm] types: a is listed twice\n");
	expect_bad("[ports]\nrange = 100-200\nrange = 150, udp:199-300, tcp:201\n",
		   "t.conf:3: [ports] range: 150-150 overlaps 100-200: list each port once per "
		   "protocol\n"
		   "t.conf:3: [ports] range: 199-300 overlaps 100-200: list each port once per "
		   "protocol\n");
	config_free(
		good("[ports]\nrange = tcp:100-200, udp:100-200, 201, tcp:300, udp:300\n", NULL));
	expect_bad("[ports]\naddresses = 127.0.0.1, 127.0.0.1\n",
		   "t.conf:2: [ports] addresses: 127.0.0.1 is listed twice\n");
	expect_bad("[ports]\naddresses = 127.0.0.1, 127.0.0.2\naddresses = 127.0.0.2\n",
		   "t.conf:3: [ports] addresses: 127.0.0.2 is listed twice\n");
	expect_bad("[capacity]\ncid_start = 4294967294\ncid_count = 2\n",
		   "t.conf:3: [capacity] cid_count: 2 IDs from 4294967294 on exceed the highest "
		   "ID, 4294967294\n");
	expect_bad("[hypervisor]\nemulator = /nonexistent\n",
		   "t.conf:2: [hypervisor] emulator: /nonexistent: No such file or directory\n");
	expect_bad("[hypervisor]\nuri = qemu:///embed\n"
		   "embed_root = /a/path/that/leaves/no/room/for/qemus/sockets/x\n",
		   "t.conf:3: [hypervisor] embed_root: "
		   "/a/path/that/leaves/no/room/for/qemus/sockets/x is 47 bytes "
		   "long: at most 46 are allowed, because QEMU's socket paths are below it\n");
	expect_bad("[host]\nppid = " PPID "\ndevice_id = " OTHER_ID "\n",
		   "t.conf:3: [host] device_id: " OTHER_ID
		   " is not the SHA-256 of ppid, which is " DEVICE_ID
		   ": set only one of the two keys\n");
	expect_bad("[hypervisor]\nuri = qemu:///sytem\n",
		   "t.conf:2: [hypervisor] uri: \"qemu:///sytem\" is not allowed: a libvirt URI: "
		   "qemu:///system, qemu+unix:///system?socket=/path or qemu:///embed\n");
	expect_bad("[api]\ntls_cert = /etc/passwd\ntls_key = /etc/passwd\n",
		   "t.conf:2: [api] tls_cert: /etc/passwd: not a PEM file, or not of this kind\n");
}

/* ------------------------------------------------------------------ reload */

static void reload_applies_reloadable_keys_and_lists_those_that_need_a_restart(void **state)
{
	auto_free char *path = in_dir("t.conf");
	struct options o = { .config_file = path };
	struct config *c = good("[logs]\nlevel = info\n[cvm]\ntypes = a:1:1:1\n[node]\nid = 1\n",
				NULL),
		      *fresh;
	const struct instance_type *old = c->cvm.types.v;
	auto_buf struct buf errors = { 0 };
	struct config_changes ch;

	(void)state;
	put("t.conf", "# moved\n[logs]\nlevel = debug\n[cvm]\ntypes = b:2:2:2\n[node]\nid = "
		      "2\nregion = local\n");
	assert_int_equal(config_load(&o, &fresh, &errors), 0);
	assert_int_equal(config_apply(c, fresh, &ch, &errors), 0);
	assert_int_equal(ch.applied.n, 2);
	assert_string_equal(ch.applied.v[0], "cvm.types: a:1:1:1 -> b:2:2:2");
	assert_string_equal(ch.applied.v[1], "logs.level: info -> debug");
	assert_int_equal(ch.restart.n, 1);
	assert_string_equal(ch.restart.v[0], "node.id: 1 -> 2");
	assert_int_equal(c->logs.level, LOG_LEVEL_DEBUG);
	expect_origin(c, "logs", "level", "t.conf:3");
	expect_key(c, "cvm", "types", "b:2:2:2");
	expect_key(c, "node", "id", "1");
	expect_origin(c, "node", "id", "t.conf:6");
	expect_origin(c, "node", "region", "t.conf:8");
	assert_string_equal(old->name, "a"); /* still valid for users that borrowed it */
	config_free(fresh);
	config_changes_free(&ch);
	config_free(c);
}

/* The new file is valid, but not together with the old value of ports.enabled, which needs a
 * restart to change. */
static void a_reload_that_breaks_a_rule_until_the_restart_changes_nothing(void **state)
{
	auto_free char *path = in_dir("t.conf");
	struct options o = { .config_file = path };
	struct config *c = good("[ports]\nrange = 20000\n[logs]\nlevel = info\n", NULL), *fresh;
	struct config_changes ch = { .applied.n = 77 };
	auto_buf struct buf errors = { 0 };

	(void)state;
	put("t.conf", "[ports]\nenabled = no\nrange =\n[logs]\nlevel = debug\n");
	assert_int_equal(config_load(&o, &fresh, &errors), 0);
	assert_int_equal(config_apply(c, fresh, &ch, &errors), -ERR_INVALID);
	assert_int_equal(ch.applied.n, 77);
	assert_non_null(strstr(errors.data, "[ports] range: is empty"));
	expect_key(c, "ports", "range", "20000");
	expect_origin(c, "ports", "range", "t.conf:2");
	expect_key(c, "logs", "level", "info");
	expect_origin(c, "logs", "level", "t.conf:4");
	expect_key(fresh, "logs", "level", "debug");
	config_free(fresh);
	config_free(c);
}

/* ------------------------------------------------------------------ printing */

static void print_shows_every_key_with_value_and_origin(void **state)
{
	struct config *c = good("[node]\nid = 3\n", NULL);
	auto_buf struct buf out = { 0 };
	size_t lines = 0;

	(void)state;
	config_print(c, &out);
	for (const char *at = out.data; *at; at = strchr(at, '\n') + 1, lines++)
		assert_non_null(strstr(at, "  # "));
	assert_int_equal(lines, config_keys_n);
	assert_non_null(strstr(out.data, "t.conf:2\n"));
	assert_non_null(strstr(out.data, "  # default (state_dir)\n"));
	config_free(c);
}

/* ------------------------------------------------------------------ settings */

static const struct host_size laptop = {
	.measure = { .cpus = 4, .memory_mib = 16000, .disk_free_bytes = 100ULL << 30 },
	.disk_used_bytes = 20ULL << 30,
};

static void auto_amounts_are_the_host_minus_the_reserve(void **state)
{
	struct config *c = good("[capacity]\nvcpu_ratio = 2\n", NULL);
	struct vmm_settings s;

	(void)state;
	settings_make(c, &laptop, &s);
	assert_int_equal(s.vcpus, 4 * 2 - 1);
	assert_int_equal(s.memory_mib, 16000 - 2048);
	assert_int_equal(s.disk_gib, 100 + 20 - 10);
	assert_int_equal(s.slots, 64);
	settings_free(&s);
	config_free(c);
}

static void amounts_may_be_numbers_or_none_and_a_reserve_may_leave_nothing(void **state)
{
	struct config *c = good(
		"[capacity]\nvcpus = auto\nreserve_vcpus = 100\nmemory_mib = none\ndisk_gib = 0\n"
		"slots = 3\n",
		NULL);
	struct vmm_settings s;

	(void)state;
	settings_make(c, &laptop, &s);
	assert_int_equal(s.vcpus, 0);
	assert_int_equal(s.memory_mib, -1);
	assert_int_equal(s.disk_gib, 0);
	assert_int_equal(s.slots, 3);
	settings_free(&s);
	config_free(c);
}

static void default_port_address_comes_first_and_once(void **state)
{
	struct config *c = good(
		"[ports]\naddresses = 127.0.0.1, 0.0.0.0, 127.0.0.2\ndefault_address = 0.0.0.0\n",
		NULL);
	struct vmm_settings s;

	(void)state;
	settings_make(c, &laptop, &s);
	assert_string_equal(s.port_addresses[0], "0.0.0.0");
	assert_string_equal(s.port_addresses[1], "127.0.0.1");
	assert_string_equal(s.port_addresses[2], "127.0.0.2");
	assert_null(s.port_addresses[3]);
	assert_null(s.kms_urls[0]);
	assert_null(s.default_image);
	settings_free(&s);
	config_free(c);
}

static void expect_host(const char *text, const char *root, const char *device_id)
{
	struct config *c = good(text, NULL);
	struct vmm_settings s;

	settings_make(c, &laptop, &s);
	assert_string_equal(s.host_root, root);
	assert_string_equal(s.device_id, device_id);
	settings_free(&s);
	config_free(c);
}

static void device_id_is_configured_or_derived_from_the_ppid(void **state)
{
	(void)state;
	expect_host("", "", "");
	expect_host("[host]\nroot = /tmp/tree/\nppid = " PPID "\n", "/tmp/tree", DEVICE_ID);
	expect_host("[host]\ndevice_id = " OTHER_ID "\n", "", OTHER_ID);
	expect_host("[host]\ndevice_id = " DEVICE_ID "\nppid = " PPID "\n", "", DEVICE_ID);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest t[] = {
		T(shipped_file_is_the_output_of_help_config),
		T(shipped_file_uncommented_sets_every_key_to_its_default),
		T(manuals_name_every_key_with_its_default_rule_and_explanation),
		T(every_formatted_default_parses_to_the_same_value),
		T(every_key_has_a_section_an_explanation_and_a_valid_range),
		T(values_are_accepted_or_rejected_by_their_type),
		T(rejection_names_file_line_key_value_and_the_rule),
		T(a_removed_key_names_its_replacement),
		T(all_errors_are_reported_not_only_the_first),
		T(long_lines_are_accepted_up_to_the_limit_and_nul_is_rejected),
		T(byte_order_mark_crlf_indent_and_comments_are_accepted),
		T(later_drop_ins_override_earlier_ones_and_options_override_all),
		T(a_list_grows_within_a_file_and_is_replaced_by_the_next),
		T(only_the_default_file_may_be_missing),
		T(dev_presets_use_its_folder_and_options_override_them),
		T(invalid_options_are_reported),
		T(keys_that_contradict_each_other_are_rejected),
		T(reload_applies_reloadable_keys_and_lists_those_that_need_a_restart),
		T(a_reload_that_breaks_a_rule_until_the_restart_changes_nothing),
		T(print_shows_every_key_with_value_and_origin),
		T(auto_amounts_are_the_host_minus_the_reserve),
		T(amounts_may_be_numbers_or_none_and_a_reserve_may_leave_nothing),
		T(default_port_address_comes_first_and_once),
		T(device_id_is_configured_or_derived_from_the_ppid),
	};

	return cmocka_run_group_tests_name("config", t, NULL, NULL);
}
