/* SPDX-License-Identifier: Apache-2.0
 * keys_test.c - API keys: request rate, limits, expiry, revocation; and their workspaces.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "api/http/key_rate.h"
#include "base/clock.h"
#include "db/keys.h"
#include "db/sql.h"
#include "db/turn.h"
#include "db/workspaces.h"
#include "tests/unit/node_fixture.h"
#include "vmm/account/keys.h"
#include "vmm/account/workspaces.h"

static unsigned take(struct key_rate *r, int64_t id, int64_t per_minute, int64_t now)
{
	return key_rate_take(r, &(struct key_budget){ id, per_minute }, 1, now);
}

static void a_key_may_use_one_minute_of_requests_at_once(void **st)
{
	struct key_rate *r = key_rate_new();
	int64_t now = 1000, second = 1000000;

	(void)st;
	for (int i = 0; i < 60; i++)
		assert_int_equal(take(r, 1, 60, now), 0);
	assert_int_equal(take(r, 1, 60, now), 1);
	assert_int_equal(take(r, 2, 60, now), 0); /* keys are counted separately */
	assert_int_equal(take(r, 1, 60, now + second), 0);
	assert_int_equal(take(r, 1, 60, now + second), 1);
	assert_int_equal(key_rate_take(r, NULL, 0, now), 0);
	assert_int_equal(take(r, 3, 1, now), 0);
	assert_int_equal(take(r, 3, 1, now + second), 59);
	for (int64_t id = 10; id < 2000; id++) /* many keys, each with its own entry */
		assert_int_equal(take(r, id, 1, now), 0);
	for (int64_t id = 10; id < 2000; id++)
		assert_int_equal(take(r, id, 1, now + second), 59);
	key_rate_free(r);
}

static void keys_of_one_parent_share_its_rate_and_a_refusal_charges_none(void **st)
{
	const struct key_budget first[] = { { 2, 30 }, { 1, 40 } },
				second[] = { { 3, 30 }, { 1, 40 } };
	struct key_rate *r = key_rate_new();
	const int64_t now = 1000000;

	(void)st;
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(key_rate_take(r, first, 2, now), 0);
	assert_int_equal(key_rate_take(r, first, 2, now), 2); /* its own limit */
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(key_rate_take(r, second, 2, now), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(key_rate_take(r, second, 2, now), 2); /* the parent's */
	assert_int_equal(take(r, 1, 40, now), 2);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(take(r, 3, 30, now), 0); /* 10 of 30 were charged */
	assert_int_equal(take(r, 3, 30, now), 2);
	key_rate_free(r);
}

/* ------------------------------------------------------------------ a node */

static int set_up(void **st)
{
	struct node_fixture *n = node_fixture_new("/tmp");

	n->set.max_keys = 5;
	n->set.keys_per_minute = 100;
	node_fixture_open(n);
	node_fixture_add_image(n, "demo", 0, false);
	*st = n;
	return 0;
}

struct key_call {
	struct node_fixture *n;
	struct workspace_row w;
	struct key_row k;
	struct key_request request;
	char text[API_KEY_TEXT];
};

static int add_workspace(void *arg, struct err *e)
{
	struct key_call *k = arg;
	const struct workspace_request request = { .slug = "team", .max = { -1, -1, -1, -1, -1 } };

	return vmm_workspace_add(k->n->v, &request, &k->w, e);
}

static int delete_workspace(void *arg, struct err *e)
{
	struct key_call *k = arg;

	return vmm_workspace_delete(k->n->v, "team", e);
}

static int make_key(void *arg, struct err *e)
{
	struct key_call *k = arg;

	return vmm_key_make(k->n->v, &k->request, &k->k, k->text, e);
}

static int revoke_key(void *arg, struct err *e)
{
	struct key_call *k = arg;

	return vmm_key_revoke(k->n->v, k->k.id, e);
}

static void the_number_of_a_deleted_workspace_is_not_reused_and_its_keys_are_invalid(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = { .n = n };
	struct key_row row;
	int64_t first;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), add_workspace, &k, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), add_workspace, &k, &e), -ERR_CONFLICT);
	first = k.w.id;
	k.request = (struct key_request){ .workspace = first, .name = "ci", .role = 2 };
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), 0);
	assert_string_equal(row.workspace_slug, "team");
	assert_int_equal(turn_do(vmm_turn(n->v), delete_workspace, &k, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), -ERR_UNAUTHENTICATED);
	assert_int_equal(vmm_workspace_find(n->v, "team", &k.w, &e), -ERR_NOT_FOUND);
	assert_int_equal(turn_do(vmm_turn(n->v), delete_workspace, &k, &e), -ERR_NOT_FOUND);
	assert_int_equal(turn_do(vmm_turn(n->v), add_workspace, &k, &e), 0);
	assert_int_not_equal(k.w.id, first);
}

static void a_key_ends_by_expiry_or_revocation_and_its_text_is_not_stored(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = {
		.n = n,
		.request = { .workspace = vmm_default_workspace(n->v), .name = "ci", .role = 2 }
	};
	uint64_t generation = vmm_keys_generation(n->v);
	int64_t found = -1;
	struct key_row row;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), 0);
	assert_memory_equal(row.prefix, k.text, strlen(row.prefix));
	assert_int_equal(strlen(row.prefix), 13);
	assert_int_equal(
		sql_int(vmm_db(n->v), &e, -1, &found,
			"SELECT count(*) FROM api_keys WHERE instr(hex(hash) || name || prefix, ?)",
			"s", k.text + 13),
		0);
	assert_int_equal(found, 0);
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k, &e), 0);
	assert_int_not_equal(vmm_keys_generation(n->v), generation);
	assert_int_equal(vmm_key(n->v, k.k.id, &row, &e), -ERR_NOT_FOUND);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), -ERR_UNAUTHENTICATED);
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k, &e), -ERR_NOT_FOUND);
	k.request.expires_ms = clock_wall_ms() + 3600000;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(vmm_key(n->v, k.k.id, &row, &e), 0);
	assert_true(row.expires_ms == k.request.expires_ms);
	k.request.expires_ms = 1;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_INVALID);
}

static int64_t hour_from_now(void)
{
	return clock_wall_ms() + 3600000;
}

/* Each key is made by the one before. */
static void make_descendants(struct node_fixture *n, struct key_call *k, unsigned length)
{
	struct err e;

	for (unsigned i = 0; i < length; i++) {
		k[i] = (struct key_call){ .n = n };
		k[i].request = (struct key_request){ .workspace = vmm_default_workspace(n->v),
						     .name = "ci",
						     .role = 2,
						     .parent = i ? k[i - 1].k.id : 0 };
		assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k[i], &e), 0);
		assert_int_equal(k[i].k.parent, k[i].request.parent);
	}
}

static void a_key_has_no_more_rights_than_its_parent(void **st)
{
	struct node_fixture *n = *st;
	struct key_call parent = {
		.n = n,
		.request = { .workspace = vmm_default_workspace(n->v), .name = "p", .role = 2 }
	};
	struct key_call k = parent;
	struct err e;

	parent.request.expires_ms = hour_from_now();
	parent.request.per_minute = 30;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &parent, &e), 0);
	k.request.parent = parent.k.id;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(k.k.expires_ms, parent.k.expires_ms);
	assert_int_equal(k.k.per_minute, 30);
	k.request.expires_ms = parent.k.expires_ms - 1;
	k.request.per_minute = 29;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(k.k.expires_ms, parent.k.expires_ms - 1);
	assert_int_equal(k.k.per_minute, 29);
	k.request.per_minute = 31;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_FORBIDDEN);
	assert_string_equal(e.field, "limits.requests_per_minute");
	assert_string_equal(e.value, "31");
	k.request.expires_ms = parent.k.expires_ms + 1;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_FORBIDDEN);
	assert_string_equal(e.field, "expires_at");
}

static void a_key_made_by_another_credential_expires_with_it(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = {
		.n = n,
		.request = { .workspace = vmm_default_workspace(n->v), .name = "p", .role = 2 }
	};
	struct err e;

	k.request.ends_ms = hour_from_now();
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(k.k.expires_ms, k.request.ends_ms);
	k.request.expires_ms = k.request.ends_ms + 1;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_FORBIDDEN);
}

static void revoking_a_key_revokes_its_descendants(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k[4], other;
	struct key_row row;
	struct err e;

	make_descendants(n, k, 4);
	make_descendants(n, &other, 1);
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k[1], &e), 0);
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(vmm_authenticate(n->v, k[i].text, &row, &e),
				 i ? -ERR_UNAUTHENTICATED : 0);
	assert_int_equal(vmm_authenticate(n->v, other.text, &row, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k[3], &e), -ERR_NOT_FOUND);
	k[3].request.parent = k[1].k.id;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k[3], &e), -ERR_UNAUTHENTICATED);
}

static void the_depth_of_descendant_keys_is_limited(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k[KEY_LINE_MAX + 1];
	struct key_row row;
	struct err e;

	n->set.max_keys = 0;
	node_fixture_reload(n);
	make_descendants(n, k, KEY_LINE_MAX);
	k[KEY_LINE_MAX] = k[KEY_LINE_MAX - 1];
	k[KEY_LINE_MAX].request.parent = k[KEY_LINE_MAX - 1].k.id;
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k[KEY_LINE_MAX], &e), -ERR_FORBIDDEN);
	assert_string_equal(e.field, "parent");
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k[0], &e), 0);
	assert_int_equal(vmm_key(n->v, k[KEY_LINE_MAX - 1].k.id, &row, &e), -ERR_NOT_FOUND);
}

static void deleting_a_workspace_revokes_keys_made_by_its_keys_elsewhere(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = { .n = n }, child = { .n = n };
	struct key_row row;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), add_workspace, &k, &e), 0);
	k.request = (struct key_request){ .workspace = k.w.id, .name = "admin", .role = 4 };
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	child.request = (struct key_request){ .workspace = vmm_default_workspace(n->v),
					      .name = "child",
					      .role = 4,
					      .parent = k.k.id };
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &child, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), delete_workspace, &k, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, child.text, &row, &e), -ERR_UNAUTHENTICATED);
}

static void last_use_is_recorded_once_a_minute(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = {
		.n = n,
		.request = { .workspace = vmm_default_workspace(n->v), .name = "ci", .role = 2 }
	};
	struct key_row row;
	int64_t used;
	struct err e;

	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), 0);
	assert_int_equal(vmm_key(n->v, k.k.id, &row, &e), 0);
	used = row.last_used_ms;
	assert_true(used > 0);
	assert_int_equal(keys_set_used(vmm_db(n->v), k.k.id, used - 59000, &e), 0);
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), 0);
	assert_int_equal(vmm_key(n->v, k.k.id, &row, &e), 0);
	assert_int_equal(row.last_used_ms, used - 59000);
	assert_int_equal(keys_set_used(vmm_db(n->v), k.k.id, used + 3600000, &e),
			 0); /* the clock was set back */
	assert_int_equal(vmm_authenticate(n->v, k.text, &row, &e), 0);
	assert_int_equal(vmm_key(n->v, k.k.id, &row, &e), 0);
	assert_true(row.last_used_ms >= used && row.last_used_ms < used + 60000);
}

static void keys_are_limited_in_number_and_in_rate(void **st)
{
	struct node_fixture *n = *st;
	struct key_call k = {
		.n = n,
		.request = { .workspace = vmm_default_workspace(n->v), .name = "ci", .role = 2 }
	};
	struct err e;

	for (int i = 0; i < 5; i++)
		assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_KEYS);
	assert_int_equal(e.cap.total, 5);
	assert_int_equal(turn_do(vmm_turn(n->v), revoke_key, &k, &e), 0);
	n->set.keys_per_minute = 5;
	node_fixture_reload(n);
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), -ERR_KEY_RATE);
	assert_in_range(e.retry_s, 50, 60);
	n->set.keys_per_minute = 6;
	node_fixture_reload(n);
	assert_int_equal(turn_do(vmm_turn(n->v), make_key, &k, &e), 0);
}

#define WITH_NODE(f) cmocka_unit_test_setup_teardown(f, set_up, node_fixture_tear_down)

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(a_key_may_use_one_minute_of_requests_at_once),
		cmocka_unit_test(keys_of_one_parent_share_its_rate_and_a_refusal_charges_none),
		WITH_NODE(the_number_of_a_deleted_workspace_is_not_reused_and_its_keys_are_invalid),
		WITH_NODE(a_key_ends_by_expiry_or_revocation_and_its_text_is_not_stored),
		WITH_NODE(a_key_has_no_more_rights_than_its_parent),
		WITH_NODE(a_key_made_by_another_credential_expires_with_it),
		WITH_NODE(revoking_a_key_revokes_its_descendants),
		WITH_NODE(the_depth_of_descendant_keys_is_limited),
		WITH_NODE(deleting_a_workspace_revokes_keys_made_by_its_keys_elsewhere),
		WITH_NODE(last_use_is_recorded_once_a_minute),
		WITH_NODE(keys_are_limited_in_number_and_in_rate),
	};

	return cmocka_run_group_tests_name("keys", t, NULL, NULL);
}
