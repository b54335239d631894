/* SPDX-License-Identifier: Apache-2.0
 * config_apply.c - apply the reloadable keys of a newly read configuration to the running one.
 *
 * Values are swapped, not copied: pointers into the old values stay valid until the caller frees
 * the other struct. Swapping twice restores the first state, which is how a rejected reload is
 * undone.
 */
#include <assert.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/own.h"
#include "base/strings.h"
#include "daemon/config_apply.h"
#include "daemon/config_check.h"
#include "daemon/config_keys.h"
#include "daemon/config_member.h"

static void apply_swap_value(const struct config_key *k, struct config *a, struct config *b)
{
	char tmp[32];

	assert(k->type->size && k->type->size <= sizeof(tmp));
	memcpy(tmp, config_key_value(k, a), k->type->size);
	memcpy(config_key_member(k, a), config_key_value(k, b), k->type->size);
	memcpy(config_key_member(k, b), tmp, k->type->size);
}

static void apply_swap_origin(const struct config_key *k, struct config *a, struct config *b)
{
	char *tmp = a->origin[config_key_row(k)];

	a->origin[config_key_row(k)] = b->origin[config_key_row(k)];
	b->origin[config_key_row(k)] = tmp;
}

/* Swap value and origin if the key is reloadable; only the origin if the values are equal. */
static void config_apply_key(const struct config_key *k, struct config *c, struct config *fresh,
			     struct config_changes *ch)
{
	auto_free char *old = config_value_text(k, c), *new = config_value_text(k, fresh);
	bool may = k->flags & KEY_RELOAD;

	if (!strcmp(old, new)) {
		apply_swap_origin(k, c, fresh);
		return;
	}
	config_list_add(may ? &ch->applied : &ch->restart,
			xasprintf("%s.%s: %s -> %s", k->section, k->name, *old ? old : "\"\"",
				  *new ? new : "\"\""));
	if (may) {
		apply_swap_value(k, c, fresh);
		apply_swap_origin(k, c, fresh);
	}
}

static struct config_changes config_apply_all(struct config *c, struct config *fresh)
{
	struct config_changes ch = { 0 };

	for (size_t i = 0; i < config_keys_n; i++)
		config_apply_key(&config_keys[i], c, fresh, &ch);
	return ch;
}

int config_apply(struct config *c, struct config *fresh, struct config_changes *ret,
		 struct buf *errors)
{
	struct config_changes ch, undone;
	size_t before = errors->len;

	assert(c != fresh);
	ch = config_apply_all(c, fresh);
	config_check_rules(c, errors);
	if (errors->len == before) {
		*ret = ch;
		return 0;
	}
	undone = config_apply_all(c, fresh);
	assert(undone.applied.n == ch.applied.n);
	config_changes_free(&undone);
	config_changes_free(&ch);
	return -ERR_INVALID;
}

void config_changes_free(struct config_changes *ch)
{
	config_list_free(&ch->applied);
	config_list_free(&ch->restart);
}
