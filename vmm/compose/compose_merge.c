/* SPDX-License-Identifier: Apache-2.0
 * compose_merge.c - changes manifests, and compares them by hash.
 *
 * See compose_merge.h.
 */
#include "vmm/compose/compose_merge.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/own.h"

bool compose_merge_any(const struct compose_merge *m)
{
	return m->docker_compose_file || m->pre_launch_script || m->allowed_envs ||
	       m->public_logs >= 0 || m->public_sysinfo >= 0 || m->public_tcbinfo >= 0;
}

static void set_flag(json_t *j, const char *key, int value)
{
	if (value >= 0)
		json_object_set_new(j, key, json_boolean(value));
}

/* The names as keys of an object: comparing a thousand names pairwise takes 20 ms. */
static json_t *name_set(const json_t *names)
{
	json_t *set = json_object(), *v;
	size_t i;

	json_array_foreach(names, i, v)
	{
		if (json_is_string(v))
			json_object_set_new(set, json_string_value(v), json_true());
	}
	return set;
}

static json_t *are_distinct(const json_t *names)
{
	auto_json json_t *seen = json_object();
	json_t *list = json_array(), *v;
	size_t i;

	json_array_foreach(names, i, v)
	{
		if (json_object_get(seen, json_string_value(v)))
			continue;
		json_object_set_new(seen, json_string_value(v), json_true());
		json_array_append(list, v);
	}
	return list;
}

static int set_docker_compose(json_t *j, const char *text, struct err *e)
{
	const char *runner = json_string_value(json_object_get(j, "runner"));

	if (runner && (!strcmp(runner, "bash") || !strcmp(runner, "none")))
		return err_field(e, ERR_INCOMPATIBLE, "docker_compose_file", NULL,
				 "this app's runner is %s: it has no docker compose file", runner);
	json_object_set_new(j, "docker_compose_file", json_string(text));
	return 0;
}

/* compose_check() names fields of compose_file; here they are members of the request itself. */
static int compose_check_merged(const json_t *manifest, struct err *e)
{
	static const char prefix[] = "compose_file.";
	int r = compose_check(manifest, e);

	if (r && !strncmp(e->field, prefix, sizeof(prefix) - 1))
		memmove(e->field, e->field + sizeof(prefix) - 1,
			strlen(e->field) - sizeof(prefix) + 2);
	return r;
}

int compose_merge(const json_t *manifest, const struct compose_merge *m, json_t **ret,
		  struct err *e)
{
	auto_json json_t *j = json_deep_copy(manifest);
	int r = 0;

	if (m->docker_compose_file)
		r = set_docker_compose(j, m->docker_compose_file, e);
	if (r)
		return r;
	if (m->pre_launch_script && *m->pre_launch_script)
		json_object_set_new(j, "pre_launch_script", json_string(m->pre_launch_script));
	else if (m->pre_launch_script)
		json_object_del(j, "pre_launch_script");
	if (m->allowed_envs && !compose_envs_equal(j, m->allowed_envs))
		json_object_set_new(j, "allowed_envs", are_distinct(m->allowed_envs));
	set_flag(j, "public_logs", m->public_logs);
	set_flag(j, "public_sysinfo", m->public_sysinfo);
	set_flag(j, "public_tcbinfo", m->public_tcbinfo);
	r = compose_check_merged(j, e);
	if (!r)
		*ret = take_ptr(&j);
	return r;
}

int compose_patch(const json_t *manifest, const json_t *keys, json_t **ret, struct err *e)
{
	bool whole = json_object_get(keys, "runner") != NULL;
	auto_json json_t *j = whole ? json_object() : json_deep_copy(manifest);
	const char *key;
	json_t *v;
	int r;

	json_object_foreach((json_t *)keys, key, v)
	{
		if (json_is_null(v) && !whole)
			json_object_del(j, key);
		else
			json_object_set_new(j, key, json_deep_copy(v));
	}
	r = compose_check_merged(j, e);
	if (!r)
		*ret = take_ptr(&j);
	return r;
}

/* ------------------------------------------------------------------ names of variables */

bool compose_envs_equal(const json_t *manifest, const json_t *names)
{
	auto_json json_t *allowed = name_set(json_object_get(manifest, "allowed_envs"));
	auto_json json_t *given = name_set(names);

	return json_equal(allowed, given);
}

int compose_envs_allowed(const json_t *manifest, const json_t *names, const char *field,
			 struct err *e)
{
	auto_json json_t *allowed = name_set(json_object_get(manifest, "allowed_envs"));
	char list[200] = "";
	size_t i, used = 0;
	json_t *v;

	json_array_foreach(names, i, v)
	{
		const char *name = json_string_value(v);

		if (!json_object_get(allowed, name) && used < sizeof(list))
			used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s",
						 used ? ", " : "", name);
	}
	if (!used)
		return 0;
	err_field(e, ERR_INVALID, field, list, "not among allowed_envs of the compose file: %.200s",
		  list);
	return err_hint(e, "name them in allowed_envs too, or leave them out");
}

/* ------------------------------------------------------------------ the older hash */

static void put_new_line(struct buf *b, int depth)
{
	buf_puts(b, "\n");
	for (int i = 0; i < depth; i++)
		buf_puts(b, "    ");
}

/* Write one string, from its opening quote. Returns the position after the closing one. Spaces are
 * removed in '": '. */
static const char *put_string(struct buf *b, const char *p)
{
	const char *begin = p;

	buf_add(b, p++, 1);
	while (*p != '"') {
		if (*p == ' ' && p - begin >= 2 && p[-1] == ':' && p[-2] == '"') {
			p++;
			continue;
		}
		if (*p == '\\')
			buf_add(b, p++, 1);
		buf_add(b, p++, 1);
	}
	buf_add(b, p++, 1);
	return p;
}

/* @p: compact JSON without blanks outside of strings, as compose_text() writes it. */
static void put_indented(struct buf *b, const char *p)
{
	int depth = 0;

	while (*p) {
		bool opens = *p == '{' || *p == '[', closes = *p == '}' || *p == ']';

		if (*p == '"') {
			p = put_string(b, p);
			continue;
		}
		assert(!closes || depth > 0);
		if (closes)
			put_new_line(b, --depth);
		buf_add(b, p, 1);
		if (opens && (p[1] == '}' || p[1] == ']'))
			buf_add(b, ++p, 1);
		else if (opens)
			put_new_line(b, ++depth);
		else if (*p == ',')
			put_new_line(b, depth);
		p++;
	}
}

void compose_hash_indented(const json_t *manifest, char out[SHA256_HEX])
{
	auto_json json_t *j = json_deep_copy(manifest);
	auto_buf struct buf b = { 0 };
	auto_free char *text = NULL;

	compose_normalise(j);
	text = compose_text(j);
	put_indented(&b, text);
	id_sha256_hex(b.data, b.len, out);
}

bool compose_hash_names(const json_t *manifest, const char *given)
{
	auto_free char *text = compose_text(manifest);
	char hash[SHA256_HEX];

	if (!strncasecmp(given, "0x", 2))
		given += 2;
	compose_hash(text, hash);
	if (!strcasecmp(hash, given))
		return true;
	compose_hash_indented(manifest, hash);
	return !strcasecmp(hash, given);
}
