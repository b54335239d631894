/* SPDX-License-Identifier: Apache-2.0
 * compose.c - the app-compose manifest: validation, and conversion of the short form.
 *
 * What must hold: the compose hash that we return is the one that clients and guests compute. A
 * manifest that we build is normalised, so that the clients' hash function gives the same hash with
 * and without normalisation. A manifest that comes whole is measured as its author wrote it: only
 * its keys are sorted.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "base/array.h"
#include "base/json_js.h"
#include "vmm/compose/compose.h"
#include "vmm/compose/compose_lint.h"
#include "vmm/tdx/mr_config.h"

enum { SCRIPT_MAX = 1024 * 1024, ENVS_MAX = 1024 };

struct short_form {
	const char *name, *docker_compose_file, *pre_launch_script;
	json_t *allowed_envs;
	int storage_fs;
	int64_t swap_size;
	bool kms_enabled, gateway_enabled, public_logs, public_sysinfo, public_tcbinfo;
	bool local_key_provider_enabled, no_instance_id, secure_time;
};

static const char *const filesystems[] = { "ext4", "zfs", NULL };
enum { FS_ZFS = 1 };

#define AT(m) .at = offsetof(struct short_form, m)
#define FLAG(m)                                                                \
	{                                                                      \
		.name = #m, .type = FIELD_BOOL, .flags = FIELD_NULLABLE, AT(m) \
	}

static const struct field short_fields[] = {
	{ .name = "name", .type = FIELD_STRING, .flags = FIELD_NULLABLE, .max = 128, AT(name) },
	{ .name = "docker_compose_file",
	  .type = FIELD_STRING,
	  .flags = FIELD_REQUIRED,
	  .min = 1,
	  .max = COMPOSE_LINT_MAX,
	  AT(docker_compose_file),
	  .rule = "docker compose text (YAML)" },
	{ .name = "pre_launch_script",
	  .type = FIELD_STRING,
	  .flags = FIELD_NULLABLE,
	  .max = SCRIPT_MAX,
	  AT(pre_launch_script) },
	{ .name = "allowed_envs",
	  .type = FIELD_STRINGS,
	  .flags = FIELD_NULLABLE,
	  .max = ENVS_MAX,
	  AT(allowed_envs),
	  .rule = "names of the variables that may be set" },
	{ .name = "storage_fs",
	  .type = FIELD_WORD,
	  .flags = FIELD_NULLABLE,
	  .words = filesystems,
	  AT(storage_fs) },
	{ .name = "swap_size",
	  .type = FIELD_INT,
	  .flags = FIELD_NULLABLE,
	  .max = (int64_t)1 << 50,
	  AT(swap_size),
	  .rule = "bytes" },
	FLAG(kms_enabled),
	FLAG(gateway_enabled),
	{ .name = "tproxy_enabled",
	  .type = FIELD_BOOL,
	  .flags = FIELD_NULLABLE,
	  AT(gateway_enabled),
	  .rule = "old name of gateway_enabled" },
	FLAG(public_logs),
	FLAG(public_sysinfo),
	FLAG(public_tcbinfo),
	FLAG(local_key_provider_enabled),
	FLAG(no_instance_id),
	FLAG(secure_time),
};

const struct field_table compose_file_table = { .name = "ComposeFile",
						.fields = short_fields,
						.n = ARRAY_SIZE(short_fields) };

/* ------------------------------------------------------------------ whole manifests */

static const char *const runners[] = { "docker-compose", "nerdctl-compose", "bash", "none", NULL };
static const char *const key_providers[] = { "none", "kms", "local", "tpm", NULL };

#define TEXT(n)                                                                              \
	{                                                                                    \
		.name = n, .type = FIELD_STRING, .flags = FIELD_NULLABLE, .max = SCRIPT_MAX, \
		.at = FIELD_NOWHERE                                                          \
	}
#define BOOL(n)                                                                             \
	{                                                                                   \
		.name = n, .type = FIELD_BOOL, .flags = FIELD_NULLABLE, .at = FIELD_NOWHERE \
	}

static const struct field manifest_fields[] = {
	{ .name = "name",
	  .type = FIELD_STRING,
	  .flags = FIELD_REQUIRED,
	  .max = 128,
	  .at = FIELD_NOWHERE },
	{ .name = "runner",
	  .type = FIELD_STRING,
	  .flags = FIELD_REQUIRED,
	  .max = 32,
	  .at = FIELD_NOWHERE },
	{ .name = "features",
	  .type = FIELD_STRINGS,
	  .flags = FIELD_NULLABLE,
	  .max = 64,
	  .at = FIELD_NOWHERE },
	{ .name = "allowed_envs",
	  .type = FIELD_STRINGS,
	  .flags = FIELD_NULLABLE,
	  .max = ENVS_MAX,
	  .at = FIELD_NOWHERE },
	{ .name = "key_provider",
	  .type = FIELD_STRING,
	  .flags = FIELD_NULLABLE,
	  .max = 32,
	  .at = FIELD_NOWHERE },
	{ .name = "storage_fs",
	  .type = FIELD_STRING,
	  .flags = FIELD_NULLABLE,
	  .max = 32,
	  .at = FIELD_NOWHERE },
	TEXT("docker_compose_file"),
	TEXT("bash_script"),
	TEXT("pre_launch_script"),
	TEXT("key_provider_id"),
	BOOL("kms_enabled"),
	BOOL("gateway_enabled"),
	BOOL("tproxy_enabled"),
	BOOL("public_logs"),
	BOOL("public_sysinfo"),
	BOOL("public_tcbinfo"),
	BOOL("secure_time"),
	BOOL("no_instance_id"),
	BOOL("local_key_provider_enabled"),
};

static const struct field_table manifest_table = { .name = "AppCompose",
						   .fields = manifest_fields,
						   .n = ARRAY_SIZE(manifest_fields) };

/* Accept 1 and 2 as numbers, and any version as a canonical decimal string: newer guests want "3".
 */
static int compose_check_version(const json_t *v, struct err *e)
{
	const char *s = json_string_value(v);
	json_int_t n = json_integer_value(v);

	if (json_is_integer(v) && (n == 1 || n == 2))
		return 0;
	if (s && *s >= '1' && *s <= '9' && strlen(s) <= 4 && strspn(s, "0123456789") == strlen(s))
		return 0;
	return err_field(e, ERR_COMPOSE_INVALID, "compose_file.manifest_version", s,
			 "expected 1, 2, or a version as a string like \"3\"");
}

/* The value, if present, must be one of @words, with the same case: guests compare
 * case-sensitively. */
static int compose_check_word(const json_t *j, const char *key, const char *const *words,
			      struct err *e)
{
	const char *s = json_string_value(json_object_get(j, key));
	char field[64], allowed[96] = "";

	if (!s)
		return 0;
	for (size_t i = 0; words[i]; i++) {
		if (!strcmp(words[i], s))
			return 0;
		(void)snprintf(allowed + strlen(allowed), sizeof(allowed) - strlen(allowed), "%s%s",
			       i ? ", " : "", words[i]);
	}
	(void)snprintf(field, sizeof(field), "compose_file.%s", key);
	return err_field(e, ERR_COMPOSE_INVALID, field, s, "expected one of %s", allowed);
}

static int compose_lint_field(const char *text, struct err *e)
{
	return compose_lint(text, strlen(text), NULL, 0, NULL, e);
}

static int compose_check_runner(const json_t *j, struct err *e)
{
	const char *runner = json_string_value(json_object_get(j, "runner"));
	const char *needs = !strcmp(runner, "bash")   ? "bash_script"
			    : !strcmp(runner, "none") ? NULL
						      : "docker_compose_file";
	const char *text = needs ? json_string_value(json_object_get(j, needs)) : NULL;
	char field[64];

	if (!needs)
		return 0;
	(void)snprintf(field, sizeof(field), "compose_file.%s", needs);
	if (!text)
		return err_field(e, ERR_COMPOSE_INVALID, field, NULL, "runner %s needs %s", runner,
				 needs);
	return !strcmp(needs, "bash_script") ? 0 : compose_lint_field(text, e);
}

/* JavaScript writes integers up to 1e21 without exponent, and JSON readers with 64-bit integers
 * refuse them from 2^63 on. Such a manifest could be hashed, but not read. */
static bool compose_numbers_ok(const json_t *j)
{
	double d = json_is_number(j) ? json_number_value(j) : 0;
	const char *key;
	size_t i;
	json_t *v;

	if (fabs(d) >= 0x1p63 && fabs(d) < 1e21)
		return false;
	json_array_foreach(j, i, v)
	{
		if (!compose_numbers_ok(v))
			return false;
	}
	json_object_foreach((json_t *)j, key, v)
	{
		if (!compose_numbers_ok(v))
			return false;
	}
	return true;
}

int compose_check(const json_t *app_compose, struct err *e)
{
	if (fields_read(&manifest_table, app_compose, "compose_file", NULL, e) < 0)
		return -(int)e->code;
	if (compose_check_version(json_object_get(app_compose, "manifest_version"), e) < 0 ||
	    compose_check_word(app_compose, "runner", runners, e) < 0 ||
	    compose_check_word(app_compose, "key_provider", key_providers, e) < 0 ||
	    compose_check_word(app_compose, "storage_fs", filesystems, e) < 0)
		return -(int)e->code;
	if (!compose_numbers_ok(app_compose))
		return err_field(e, ERR_COMPOSE_INVALID, "compose_file", NULL,
				 "it contains a number of 2^63 or more");
	if (mr_config_check(app_compose, e) < 0)
		return -(int)e->code;
	return compose_check_runner(app_compose, e);
}

/* ------------------------------------------------------------------ short form */

static json_t *compose_features(const struct short_form *f)
{
	json_t *v = json_array();

	if (f->kms_enabled)
		json_array_append_new(v, json_string("kms"));
	if (f->gateway_enabled)
		json_array_append_new(v, json_string("tproxy-net"));
	return v;
}

static json_t *compose_long_form(const struct short_form *f, const char *name)
{
	json_t *m = json_object();

	json_object_set_new(m, "manifest_version", json_integer(2));
	json_object_set_new(m, "name",
			    json_string(f->name && *f->name ? f->name
					: name              ? name
							    : ""));
	json_object_set_new(m, "runner", json_string("docker-compose"));
	json_object_set_new(m, "docker_compose_file", json_string(f->docker_compose_file));
	if (f->pre_launch_script && *f->pre_launch_script)
		json_object_set_new(m, "pre_launch_script", json_string(f->pre_launch_script));
	json_object_set_new(m, "allowed_envs",
			    f->allowed_envs ? json_deep_copy(f->allowed_envs) : json_array());
	json_object_set_new(m, "features", compose_features(f));
	json_object_set_new(m, "kms_enabled", json_boolean(f->kms_enabled));
	json_object_set_new(m, "gateway_enabled", json_boolean(f->gateway_enabled));
	json_object_set_new(m, "local_key_provider_enabled",
			    json_boolean(f->local_key_provider_enabled));
	json_object_set_new(m, "public_logs", json_boolean(f->public_logs));
	json_object_set_new(m, "public_sysinfo", json_boolean(f->public_sysinfo));
	json_object_set_new(m, "public_tcbinfo", json_boolean(f->public_tcbinfo));
	json_object_set_new(m, "no_instance_id", json_boolean(f->no_instance_id));
	json_object_set_new(m, "secure_time", json_boolean(f->secure_time));
	json_object_set_new(m, "storage_fs", json_string(filesystems[f->storage_fs]));
	if (f->swap_size)
		json_object_set_new(m, "swap_size", json_integer(f->swap_size));
	return m;
}

int compose_manifest(const json_t *compose_file, const char *name, json_t **ret, struct err *e)
{
	struct short_form f = { .storage_fs = FS_ZFS,
				.kms_enabled = true,
				.gateway_enabled = true,
				.public_logs = true,
				.public_sysinfo = true,
				.public_tcbinfo = true };

	if (!compose_file || json_is_null(compose_file))
		return err_field(e, ERR_COMPOSE_MISSING, "compose_file", NULL,
				 "compose_file is missing");
	if (json_object_get(compose_file, "runner")) {
		if (compose_check(compose_file, e) < 0)
			return -(int)e->code;
		*ret = json_deep_copy(compose_file);
		return 0;
	}
	if (fields_read(&compose_file_table, compose_file, "compose_file", &f, e) < 0 ||
	    compose_lint_field(f.docker_compose_file, e) < 0)
		return -(int)e->code;
	*ret = compose_long_form(&f, name);
	return 0;
}

/* ------------------------------------------------------------------ identity */

void compose_normalise(json_t *app_compose)
{
	const char *runner = json_string_value(json_object_get(app_compose, "runner"));
	const json_t *script = json_object_get(app_compose, "pre_launch_script");

	if (runner && !strcmp(runner, "bash"))
		json_object_del(app_compose, "docker_compose_file");
	if (runner && !strcmp(runner, "docker-compose"))
		json_object_del(app_compose, "bash_script");
	if (json_is_null(script) || (json_is_string(script) && !json_string_length(script)))
		json_object_del(app_compose, "pre_launch_script");
}

char *compose_text(const json_t *app_compose)
{
	return json_js(app_compose);
}

void compose_hash(const char *text, char out[SHA256_HEX])
{
	id_sha256_hex(text, strlen(text), out);
}

int compose_app_id(const char *given, const char *hash, char out[COMPOSE_APP_ID], struct err *e)
{
	const char *id = given ? given : hash;
	size_t n = COMPOSE_APP_ID - 1;

	if (given && id[0] == '0' && (id[1] == 'x' || id[1] == 'X'))
		id += 2;
	if (given && !id_is_hex(id, n))
		return err_field(e, ERR_INVALID, "app_id", given,
				 "expected 40 hex digits, 0x before them allowed");
	for (size_t i = 0; i < n; i++)
		out[i] = (char)(id[i] >= 'A' && id[i] <= 'F' ? id[i] - 'A' + 'a' : id[i]);
	out[n] = '\0';
	return 0;
}
