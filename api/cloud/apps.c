/* SPDX-License-Identifier: Apache-2.0
 * apps.c - lists: apps by their newest CVM, CVMs by page, and the status of many CVMs at once.
 *
 * A page of a list needs one query, and no query per row. The status of a CVM is computed and not
 * stored, so ?status= reads all rows that match the other filters and drops the rest here.
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/cloud/context.h"
#include "api/cloud/cvm_page.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/json_out.h"
#include "api/cloud/lookup.h"
#include "api/cloud/paging.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/serialize_status.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/array.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/own.h"
#include "db/apps.h"
#include "db/cvms.h"
#include "db/text.h"
#include "vmm/node/find.h"
#include "vmm/cvm/status.h"
#include "vmm/node/node.h"
#include "vmm/node/settings.h"
#include "vmm/vmm.h"

enum { STATUS_SCAN = 10000, STATUS_WORDS = 16, STATUS_PAGE_MAX = 100, PAGE_MAX = 1000 };

struct cvm_list_query {
	struct cvm_filter filter;
	struct page page;
	const char *status[STATUS_WORDS];
	unsigned n_status;
	bool nothing; /* a filter names another node, region or KMS */
};

static int read_listed_filter(struct call *c, struct cvm_filter *f, struct err *e)
{
	bool listed = false;
	int r;

	f->listed = -1;
	if (!call_query(c, "listed", 0))
		return 0;
	r = call_query_bool(c, "listed", false, &listed, e);
	if (!r)
		f->listed = listed;
	return r;
}

/* These filters have one possible value on this node: they match all rows or none. */
static bool cvm_list_is_elsewhere(struct call *c)
{
	const struct vmm_settings *s = vmm_settings(api_of(c)->vmm);
	const char *node = call_query(c, "node", 0), *region = call_query(c, "region", 0);
	const char *kms = call_query(c, "kms_type", 0);

	return (node && strcmp(node, s->node_name) != 0) ||
	       (region && strcmp(region, s->region) != 0) || (kms && strcasecmp(kms, "phala") != 0);
}

static int cvm_list_query_read(struct call *c, int64_t def_size, struct cvm_list_query *ret,
			       struct err *e)
{
	const char *word;
	bool by_status = call_query(c, "status", 0);
	int r = page_read(c, def_size, by_status ? STATUS_PAGE_MAX : PAGE_MAX, &ret->page, e);

	ret->filter.workspace = api_scope(c);
	ret->filter.search = call_query(c, "search", 0);
	ret->filter.image = call_query(c, "base_image", 0);
	ret->filter.instance_type = call_query(c, "instance_type", 0);
	ret->nothing = cvm_list_is_elsewhere(c);
	while (ret->n_status < STATUS_WORDS && (word = call_query(c, "status", ret->n_status)))
		ret->status[ret->n_status++] = word;
	return r ? r : read_listed_filter(c, &ret->filter, e);
}

static bool cvm_has_status(const struct cvm_list_query *q, const struct cvm_row *row)
{
	const char *word = status_word(cvm_status(row));

	for (unsigned i = 0; i < q->n_status; i++) {
		if (!strcmp(q->status[i], word))
			return true;
	}
	return false;
}

/* Keep the rows with a wanted status, and of those the requested page. Set *n to the number of rows
 * kept and *total to the number of rows with a wanted status. */
static void cvm_list_keep_page(const struct cvm_list_query *q, struct cvm_row *rows, size_t *n,
			       int64_t *total)
{
	int64_t first = page_offset(&q->page), seen = 0;
	size_t kept = 0;

	for (size_t i = 0; i < *n; i++) {
		if (!cvm_has_status(q, &rows[i]))
			continue;
		if (seen >= first && kept < (size_t)q->page.size)
			rows[kept++] = rows[i];
		seen++;
	}
	assert(kept <= *n && (int64_t)kept <= seen);
	*n = kept;
	*total = seen;
}

/* Read the first rows of the page into @p, whose list is set. */
static int cvm_list_read(struct call *c, const struct cvm_list_query *q, struct cvm_page *p,
			 int64_t *total, struct err *e)
{
	int64_t first = q->page.size < PIECE_ROWS ? q->page.size : PIECE_ROWS, left;
	struct vmm *v = api_of(c)->vmm;
	int r;

	*total = 0;
	if (q->nothing)
		return 0;
	if (q->n_status) {
		r = p->list.read(v, &q->filter, 0, STATUS_SCAN, &p->rows, &p->n, NULL, e);
		if (!r)
			cvm_list_keep_page(q, p->rows, &p->n, total);
		return r;
	}
	r = p->list.read(v, &q->filter, page_offset(&q->page), first, &p->rows, &p->n, total, e);
	if (r)
		return r;
	left = *total - page_offset(&q->page);
	left = left < q->page.size ? left : q->page.size;
	p->left = left > first && p->n ? left - (int64_t)p->n : 0;
	p->filter = q->filter;
	return 0;
}

static cvm_serialize_fn *cvm_row_serializer(const struct call *c)
{
	return c->version == 25 ? serialize_cvm_hosted_v25 : serialize_cvm_v26;
}

/* Clients require teepod_name and region_identifier at the top level here, and not in an object. */
static void serialize_app_cvm_v25(struct cvm_serializer *s, const struct cvm_row *c,
				  struct json_out *o)
{
	const struct vmm_settings *set = vmm_settings(api_of(s->call)->vmm);

	serialize_cvm_v25(s, c, o);
	json_out_text_or_null(o, "teepod_name", set->node_name);
	json_out_text_or_null(o, "region_identifier", set->region);
	json_out_word(o, "kms_type", "phala");
}

static void serialize_app(struct cvm_serializer *s, const struct cvm_row *c, struct json_out *o)
{
	char id[APP_ID_TEXT + 8];
	struct json_out cvm;

	(void)snprintf(id, sizeof(id), "app_%s", c->app_id);
	json_out_word(o, "id", id);
	json_out_text_or_null(o, "name", c->name);
	json_out_word(o, "app_id", c->app_id);
	json_out_time_or_null(o, "created_at", c->created_ms);
	json_out_word(o, "kms_type", "phala");
	cvm = json_out_begin(o, "current_cvm");
	if (s->call->version == 25)
		serialize_app_cvm_v25(s, c, &cvm);
	else
		serialize_cvm_v26(s, c, &cvm);
	json_out_end(&cvm);
}

/* @def_size: of a page if the client gives none. */
static int cvm_page_read(struct call *c, int64_t def_size, struct cvm_page *p, struct err *e)
{
	struct cvm_list_query q = { 0 };
	int64_t total;
	int r = cvm_list_query_read(c, def_size, &q, e);

	assert(p->list.key && p->list.read && p->list.serialize);
	if (!r)
		r = cvm_list_read(c, &q, p, &total, e);
	if (r)
		return r;
	p->more = json_object();
	page_put(p->more, &q.page, total);
	return 0;
}

static void get_apps(struct call *c)
{
	struct cvm_page p = { .list = { "dstack_apps", vmm_apps, serialize_app, true } };
	struct err e;

	if (cvm_page_read(c, 50, &p, &e)) {
		call_reply_err(c, &e);
		return;
	}
	json_object_set(p.more, "total_pages", json_object_get(p.more, "pages"));
	cvm_page_reply(c, &p);
}

static void get_paginated(struct call *c)
{
	struct cvm_page p = { .list = { "items", vmm_cvms, cvm_row_serializer(c), false } };
	struct err e;

	if (cvm_page_read(c, 30, &p, &e))
		call_reply_err(c, &e);
	else
		cvm_page_reply(c, &p);
}

/* ------------------------------------------------------------------ one app */

static int app_read_cvms(struct call *c, struct app_row *app, struct cvm_row **rows, size_t *n,
			 struct err *e)
{
	struct cvm_filter f = { .app_id = app->app_id, .listed = -1 };
	int r = api_find_app(c, c->param[0], app, e);

	if (!r)
		f.workspace = app->workspace;
	return r ? r : vmm_cvms(api_of(c)->vmm, &f, 0, STATUS_SCAN, rows, n, NULL, e);
}

static json_t *serialize_one_app(const struct call *c, const struct cvm_row *newest)
{
	auto_cvm_serializer struct cvm_serializer s = { 0 };
	json_t *body = json_object();

	cvm_serializer_init(&s, c);
	serialize_app(&s, newest, &(struct json_out){ .object = body });
	return body;
}

static void get_app(struct call *c)
{
	auto_free struct cvm_row *rows = NULL;
	struct app_row app = { 0 };
	json_t *body;
	struct err e;
	size_t n = 0;

	if (app_read_cvms(c, &app, &rows, &n, &e)) {
		call_reply_err(c, &e);
		return;
	}
	if (!n) {
		err_field(&e, ERR_NOT_FOUND, "app_id", app.app_id, "app %s has no CVM", app.app_id);
		call_reply_err(c, &e);
		return;
	}
	body = serialize_one_app(c, rows);
	json_object_set_new(body, "name", json_string(app.name));
	json_object_set_new(body, "created_at", json_time_or_null(app.created_ms));
	json_object_set_new(body, "cvm_count", json_integer((json_int_t)n));
	call_reply(c, 200, body);
}

static void get_app_cvms(struct call *c)
{
	auto_free struct cvm_row *rows = NULL;
	auto_buf struct buf b = { 0 };
	struct app_row app = { 0 };
	struct err e;
	size_t n = 0;

	if (app_read_cvms(c, &app, &rows, &n, &e)) {
		call_reply_err(c, &e);
		return;
	}
	cvm_rows_write(c, rows, n, cvm_row_serializer(c), &b);
	call_reply_text(c, 200, "application/json", b.data, b.len);
}

/* ------------------------------------------------------------------ status of many CVMs */

enum { BATCH_MAX = 1000 };

static const struct field status_batch_fields[] = {
	{ "vm_uuids", FIELD_STRINGS, FIELD_REQUIRED, 0, BATCH_MAX, FIELD_NOWHERE, NULL, NULL,
	  NULL },
};

static const struct field_table status_batch_table = { "StatusBatchRequest", status_batch_fields,
						       ARRAY_SIZE(status_batch_fields), false };

/* Keys are spelled as in the request. CVMs that are not found are left out. */
static void put_status_of_uuid(const struct call *c, json_t *body, const char *given,
			       int64_t now_ms)
{
	char uuid[UUID_TEXT];
	struct cvm_row row;
	struct err e;
	json_t *status;

	if (!id_uuid_parse(given, uuid) ||
	    vmm_find_uuid(api_of(c)->vmm, api_scope(c), uuid, &row, &e))
		return;
	status = serialize_status(&row, now_ms);
	json_object_set_new(status, "vm_uuid", json_string(given));
	json_object_set_new(body, given, status);
}

static void post_status_batch(struct call *c)
{
	int64_t now_ms = clock_wall_ms();
	auto_json json_t *request = NULL;
	json_t *body, *uuids, *uuid;
	struct err e;
	size_t i;

	request = call_json(c, false, &e);
	if (!request || fields_read(&status_batch_table, request, "", NULL, &e)) {
		call_reply_err(c, &e);
		return;
	}
	uuids = json_object_get(request, "vm_uuids");
	body = json_object();
	json_array_foreach(uuids, i, uuid)
	{
		put_status_of_uuid(c, body, json_string_value(uuid), now_ms);
	}
	call_reply(c, 200, body);
}

const struct route app_routes[] = {
	{ "GET", "/api/v1/apps", ROLE_READER, 0, 0, get_apps, NULL },
	{ "GET", "/api/v1/apps/{id}", ROLE_READER, 0, 0, get_app, NULL },
	{ "GET", "/api/v1/apps/{id}/cvms", ROLE_READER, 0, 0, get_app_cvms, NULL },
	{ "GET", "/api/v1/cvms/paginated", ROLE_READER, 0, 0, get_paginated, NULL },
	{ "POST", "/api/v1/status/batch", ROLE_READER, 0, 256 * 1024, post_status_batch,
	  &status_batch_table },
	{ 0 },
};
