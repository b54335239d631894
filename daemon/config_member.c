/* SPDX-License-Identifier: Apache-2.0
 * config_member.c - set, format and free the member of struct config that belongs to a key.
 *
 * A list member is {pointer, count}, whatever the type of its items. A list is set in two steps:
 * all items are parsed into a new list; if each is allowed, the new list replaces the member or is
 * appended to it. So a rejected list leaves the member unchanged.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/config_keys.h"
#include "daemon/config_member.h"
#include "daemon/config_value.h"

struct raw_list {
	char *v; /* n items of type->item_size bytes */
	size_t n;
};

/* Each list type has the layout of raw_list. */
_Static_assert(sizeof(struct raw_list) == sizeof(struct config_list), "");
_Static_assert(sizeof(struct raw_list) == sizeof(struct config_ranges), "");
_Static_assert(offsetof(struct raw_list, n) == offsetof(struct config_types, n), "");
_Static_assert(offsetof(struct raw_list, n) == offsetof(struct config_uids, n), "");

static struct raw_list member_list(const void *member)
{
	struct raw_list l;

	memcpy(&l, member, sizeof(l));
	assert(l.v || !l.n);
	return l;
}

static void member_list_free(const struct value_type *t, struct raw_list *l)
{
	for (size_t i = 0; t->release && i < l->n; i++)
		t->release(l->v + i * t->item_size);
	free(l->v);
	*l = (struct raw_list){ 0 };
}

static char *member_trim(const char *s, size_t n)
{
	while (n && strchr(" \t", *s)) {
		s++;
		n--;
	}
	while (n && strchr(" \t", s[n - 1]))
		n--;
	return xstrndup(s, n);
}

static void member_refuse(const struct config_key *k, const char *text, struct buf *why)
{
	buf_printf(why, "\"%.200s\" is not allowed: ", text);
	value_rule(k, why);
}

static bool member_list_parse(const struct config_key *k, const char *text, struct raw_list *l,
			      struct buf *why)
{
	for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
		auto_free char *item = member_trim(at, strcspn(at, ","));
		char *slot;

		if (!*item)
			continue;
		l->v = xrealloc(l->v, (l->n + 1) * k->type->item_size);
		slot = l->v + l->n * k->type->item_size;
		memset(slot, 0, k->type->item_size);
		if (!k->type->parse(k, item, slot)) {
			member_refuse(k, item, why);
			return false;
		}
		l->n++;
	}
	return true;
}

static bool member_list_set(const struct config_key *k, void *member, const char *text, bool append,
			    struct buf *why)
{
	struct raw_list old = member_list(member), got = { 0 };
	size_t size = k->type->item_size;

	if (!member_list_parse(k, text, &got, why)) {
		member_list_free(k->type, &got);
		return false;
	}
	if (append && got.n) {
		old.v = xrealloc(old.v, (old.n + got.n) * size);
		memcpy(old.v + old.n * size, got.v, got.n * size);
		old.n += got.n;
		free(got.v);
		got = old;
	} else {
		member_list_free(k->type, &old);
	}
	memcpy(member, &got, sizeof(got));
	return true;
}

bool config_value_set(const struct config_key *k, struct config *c, const char *text, bool append,
		      struct buf *why)
{
	if (k->type->item_size)
		return member_list_set(k, config_key_member(k, c), text, append, why);
	if (k->type->parse(k, text, config_key_member(k, c)))
		return true;
	member_refuse(k, text, why);
	return false;
}

void config_value_format(const struct config_key *k, const struct config *c, struct buf *out)
{
	struct raw_list l;

	if (!k->type->item_size) {
		k->type->format(k, config_key_value(k, c), out);
		return;
	}
	l = member_list(config_key_value(k, c));
	for (size_t i = 0; i < l.n; i++) {
		buf_puts(out, i ? ", " : "");
		k->type->format(k, l.v + i * k->type->item_size, out);
	}
}

char *config_value_text(const struct config_key *k, const struct config *c)
{
	struct buf b = { 0 };

	config_value_format(k, c, &b);
	return buf_take(&b);
}

void config_value_release(const struct config_key *k, struct config *c)
{
	struct raw_list l;

	if (k->type->item_size) {
		l = member_list(config_key_value(k, c));
		member_list_free(k->type, &l);
	} else if (k->type->release) {
		k->type->release(config_key_member(k, c));
	}
}

void config_set_origin(struct config *c, const struct config_key *k, const char *origin)
{
	free(c->origin[config_key_row(k)]);
	c->origin[config_key_row(k)] = xstrdup(origin);
}

void config_assign(struct config *c, const struct config_key *k, const char *text, bool append,
		   const char *origin, struct buf *errors)
{
	auto_buf struct buf why = { 0 };

	assert(k && text && origin);
	if (config_value_set(k, c, text, append, &why))
		config_set_origin(c, k, origin);
	else
		buf_printf(errors, "%s: [%s] %s: %s\n", origin, k->section, k->name, why.data);
}
