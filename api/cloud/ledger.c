/* SPDX-License-Identifier: Apache-2.0
 * ledger.c - balance, ledger and credits of a workspace.
 *
 * Amounts are integers in micro-units of the configured currency. Clients of the cloud get decimal
 * numbers.
 */

#include <jansson.h>
#include "api/cloud/body_account.h"
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/lookup.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/paging.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_workspace.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/own.h"
#include "db/ledger.h"
#include "db/workspaces.h"
#include "vmm/account/balance.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/op/mutation.h"

enum { BODY_MAX = 4096 };

static void get_balance(struct call *c)
{
	struct vmm *v = api_of(c)->vmm;
	const char *currency = vmm_settings(v)->billing.currency;
	struct workspace_row w = { 0 };
	struct balance b = { 0 };
	char decimal[MONEY_TEXT];
	json_t *hours;
	struct err e;

	if (api_find_workspace(c, c->param[0], &w, &e) || vmm_balance(v, w.id, &b, &e)) {
		call_reply_err(c, &e);
		return;
	}
	hours = b.rate ? json_integer(b.left > 0 ? b.left / b.rate : 0) : json_null();
	call_reply(c, 200,
		   json_pack("{s:s,s:b,s:s,s:I,s:s,s:I,s:I,s:o,s:o}", "workspace", w.slug,
			     "enabled", b.enabled, "currency", currency ? currency : "", "balance",
			     (json_int_t)b.left, "balance_decimal", money_text(b.left, decimal),
			     "booked", (json_int_t)b.booked, "hourly_rate", (json_int_t)b.rate,
			     "hours_left", hours, "as_of", json_time_or_null(clock_wall_ms())));
}

static json_t *serialize_ledger_entry(const struct ledger_row *l)
{
	json_t *o = json_pack("{s:I,s:s,s:I,s:I,s:o}", "id", (json_int_t)l->id, "kind",
			      l->credit ? "credit" : "charge", "amount", (json_int_t)l->amount,
			      "balance", (json_int_t)l->balance, "at", json_time_or_null(l->at_ms));

	if (l->credit) {
		json_object_set_new(o, "by", json_string(l->caller));
		json_object_set_new(o, "note", json_text_or_null(l->note));
		return o;
	}
	json_object_set_new(o, "vm_uuid", json_string(l->cvm_uuid));
	json_object_set_new(o, "name", json_string(l->cvm_name));
	json_object_set_new(o, "from", json_time_or_null(l->from_ms));
	json_object_set_new(o, "to", json_time_or_null(l->to_ms));
	json_object_set_new(o, "elapsed_ms", json_integer(l->to_ms - l->from_ms));
	json_object_set_new(o, "hourly_rate", json_integer(l->rate));
	return o;
}

static void get_ledger(struct call *c)
{
	auto_free struct ledger_row *rows = NULL;
	struct workspace_row w = { 0 };
	json_t *items;
	int64_t total = 0;
	struct page p;
	struct err e;
	size_t n = 0;

	if (api_find_workspace(c, c->param[0], &w, &e) || page_read(c, 50, 1000, &p, &e) ||
	    vmm_ledger(api_of(c)->vmm, w.id, page_offset(&p), p.size, &rows, &n, &total, &e)) {
		call_reply_err(c, &e);
		return;
	}
	items = json_array();
	for (size_t i = 0; i < n; i++)
		json_array_append_new(items, serialize_ledger_entry(&rows[i]));
	page_reply(c, items, &p, total);
}

/* ------------------------------------------------------------------ credit */

struct credit_call {
	struct mutation_call ch;
	struct credit_body req; /* points into ch.body */
};

static int credit_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	const struct credit_call *cc = (const struct credit_call *)ch;
	struct call *c = ch->call;
	struct workspace_row w;
	struct ledger_row l;
	int r = api_find_workspace(c, c->param[0], &w, e);

	if (!r)
		r = vmm_credit(api_of(c)->vmm, w.id, cc->req.amount, cc->req.note, c->caller.label,
			       &l, e);
	if (!r)
		*ret = (struct answer){ .status = 201, .body = serialize_ledger_entry(&l) };
	return r;
}

static int credit_parse(struct mutation_call *ch, struct err *e)
{
	return parse_credit_body(ch->body, &((struct credit_call *)ch)->req, e);
}

static const struct mutation_call_ops credit_ops = { .parse = credit_parse, .apply = credit_apply };

static void post_credits(struct call *c)
{
	mutation_call_run_json(xcalloc(1, sizeof(struct credit_call)), c, false, &credit_ops);
}

const struct route ledger_routes[] = {
	{ "GET", "/api/v1/workspaces/{slug}/balance", ROLE_READER, 0, 0, get_balance, NULL },
	{ "GET", "/api/v1/workspaces/{slug}/ledger", ROLE_READER, 0, 0, get_ledger, NULL },
	{ "POST", "/api/v1/workspaces/{slug}/credits", ROLE_ADMIN, ROUTE_MUTATION, BODY_MAX,
	  post_credits, &credit_table },
	{ 0 },
};
