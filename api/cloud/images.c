/* SPDX-License-Identifier: Apache-2.0
 * images.c - /images: list, import and delete OS images of the node.
 *
 * Import and delete run a job before the answer is known. The idempotency key is looked up before
 * the job and stored with the answer after it. A repeated request that arrives in between runs the
 * job again, which finds the image present.
 */
#include <assert.h>
#include <stdlib.h>

#include <jansson.h>

#include "api/cloud/body_image.h"
#include "api/cloud/context.h"
#include "api/cloud/json_or_null.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/paging.h"
#include "api/cloud/route_tables.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "db/images.h"
#include "images/state.h"
#include "images/store.h"
#include "vmm/op/mutation.h"
#include "vmm/vmm.h"

static json_t *serialize_image(const struct image_row *row, const struct image_status *status)
{
	return json_pack("{s:s,s:s,s:s,s:b,s:s,s:I,s:o,s:s,s:o}", "name", row->name, "family",
			 row->family, "version", row->version, "is_dev", row->is_dev,
			 "os_image_hash", row->os_image_hash, "bytes", (json_int_t)row->bytes,
			 "created_at", json_time_or_null(row->created_ms), "state",
			 image_state_word[status->state], "state_reason",
			 *status->reason ? json_string(status->reason) : json_null());
}

/* A page of the list, or one image, while a job checks its files. */
struct image_list {
	struct call *call;
	struct image_row *rows; /* owned */
	size_t n;
	struct page page;
	int total;
};

static void image_list_free(struct image_list *l)
{
	free(l->rows);
	free(l);
}

static void image_list_checked(void *arg, const struct image_status *status)
{
	struct image_list *l = arg;
	json_t *items = json_array();

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(items, serialize_image(&l->rows[i], &status[i]));
	page_reply(l->call, items, &l->page, l->total);
	image_list_free(l);
}

static void get_images(struct call *c)
{
	struct image_list *l = xcalloc(1, sizeof(*l));
	struct err e;

	l->call = c;
	if (page_read(c, 50, 100, &l->page, &e) ||
	    (l->total = vmm_images(api_of(c)->vmm, -1, page_offset(&l->page), l->page.size,
				   &l->rows, &l->n, &e)) < 0) {
		call_reply_err(c, &e);
		image_list_free(l);
		return;
	}
	image_states_read(vmm_image_store(api_of(c)->vmm), l->rows, l->n, image_list_checked, l);
}

static void image_checked(void *arg, const struct image_status *status)
{
	struct image_list *l = arg;

	call_reply(l->call, 200, serialize_image(l->rows, status));
	image_list_free(l);
}

static void get_image(struct call *c)
{
	struct image_list *l = xcalloc(1, sizeof(*l));
	struct err e;
	int r;

	l->call = c;
	l->rows = xcalloc(1, sizeof(*l->rows));
	r = vmm_image(api_of(c)->vmm, c->param[0], l->rows, &e);
	if (r == -ERR_IMAGE_NOT_FOUND || r == -ERR_NOT_FOUND)
		err_field(&e, ERR_NOT_FOUND, "name", c->param[0], "image %.64s does not exist",
			  c->param[0]);
	if (!r) {
		image_states_read(vmm_image_store(api_of(c)->vmm), l->rows, 1, image_checked, l);
		return;
	}
	call_reply_err(c, &e);
	image_list_free(l);
}

/* ------------------------------------------------------------------ changes */

/* The answer is known when the mutation starts; it passes through mutation_call_run() so that it is
 * stored under the idempotency key. */
struct image_call {
	struct mutation_call ch;
	int status;
	json_t *answer; /* owned, NULL for none */
};

static int image_apply(struct mutation_call *ch, struct answer *ret, struct err *e)
{
	struct image_call *ic = (struct image_call *)ch;

	assert(ic->status != 204 || !ic->answer);
	(void)e;
	*ret = (struct answer){ .status = ic->status, .body = json_incref(ic->answer) };
	return 0;
}

static void image_call_free(struct mutation_call *ch)
{
	struct image_call *ic = (struct image_call *)ch;

	json_decref(ic->answer);
	free(ic);
}

static const struct mutation_call_ops image_call_ops = { .apply = image_apply,
							 .free = image_call_free };

struct image_job {
	struct call *call;
	json_t *body;          /* owned; NULL for delete */
	struct image_body req; /* points into body */
};

static void image_job_end(struct image_job *j, int status, json_t *answer)
{
	struct image_call *ic = xcalloc(1, sizeof(*ic));

	ic->status = status;
	ic->answer = answer;
	mutation_call_run(&ic->ch, j->call, j->body, &image_call_ops);
	free(j);
}

static void image_job_fail(struct image_job *j, const struct err *e)
{
	call_reply_err(j->call, e);
	json_decref(j->body);
	free(j);
}

static void image_imported(void *arg, const struct image_row *row, const struct err *e)
{
	static const struct image_status good = { .state = IMAGE_AVAILABLE };

	if (e)
		image_job_fail(arg, e);
	else
		image_job_end(arg, 201, serialize_image(row, &good));
}

static void image_import_start(void *arg, bool answered)
{
	struct image_job *j = arg;

	if (!answered) {
		image_store_import(vmm_image_store(api_of(j->call)->vmm), j->req.source,
				   j->req.name, image_imported, j);
		return;
	}
	json_decref(j->body);
	free(j);
}

static void post_images(struct call *c)
{
	struct image_job *j = xcalloc(1, sizeof(*j));
	struct err e;

	j->call = c;
	j->body = call_json(c, false, &e);
	if (!j->body || parse_image_body(j->body, &j->req, &e))
		image_job_fail(j, &e);
	else
		mutation_call_probe(c, j->body, image_import_start, j);
}

static void image_deleted(void *arg, const struct err *e)
{
	if (e)
		image_job_fail(arg, e);
	else
		image_job_end(arg, 204, NULL);
}

static void image_delete_start(void *arg, bool answered)
{
	struct image_job *j = arg;

	if (answered)
		free(j);
	else
		image_store_remove(vmm_image_store(api_of(j->call)->vmm), j->call->param[0],
				   image_deleted, j);
}

static void delete_image(struct call *c)
{
	struct image_job *j = xcalloc(1, sizeof(*j));

	j->call = c;
	mutation_call_probe(c, NULL, image_delete_start, j);
}

const struct route image_routes[] = {
	{ "GET", "/api/v1/images", ROLE_READER, 0, 0, get_images, NULL },
	{ "POST", "/api/v1/images", ROLE_ADMIN, ROUTE_MUTATION, 16 * 1024, post_images,
	  &image_import_table },
	{ "GET", "/api/v1/images/{name}", ROLE_READER, 0, 0, get_image, NULL },
	{ "DELETE", "/api/v1/images/{name}", ROLE_ADMIN, ROUTE_MUTATION | ROUTE_EMPTY_OK, 1024,
	  delete_image, NULL },
	{ 0 },
};
