/* SPDX-License-Identifier: Apache-2.0
 * images.c - /images: what the operator put into the image store, and how.
 *
 * Import and delete take a job between question and answer. The idempotency key is looked up before
 * the job and written with the answer after it; a repeat that arrives in between runs the job
 * again, which finds the same image there.
 */
#include <stdlib.h>

#include "api/cloud/body_cvm.h"
#include "api/cloud/mutation_call.h"
#include "api/cloud/route_tables.h"
#include "api/cloud/serialize_cvm.h"
#include "base/alloc.h"
#include <jansson.h>
#include "db/images.h"
#include "vmm/image_look.h"
#include "vmm/image_store.h"
#include "vmm/op/mutation.h"
#include "vmm/vmm.h"

/* A page of the list, or one image, while its files are looked at. */
struct image_list {
	struct call *call;
	struct image_row *rows; /* owned */
	size_t n;
	struct page page;
	int total;
};

static void list_free(struct image_list *l)
{
	free(l->rows);
	free(l);
}

static void list_looked(void *arg, const struct image_look *looks)
{
	struct image_list *l = arg;
	json_t *items = json_array(), *body;

	for (size_t i = 0; i < l->n; i++)
		json_array_append_new(items, shape_image(&l->rows[i], &looks[i]));
	body = json_pack("{s:o}", "items", items);
	api_put_page(body, &l->page, l->total);
	call_reply(l->call, 200, body);
	list_free(l);
}

static void get_images(struct call *c)
{
	struct image_list *l = xcalloc(1, sizeof(*l));
	struct err e;

	l->call = c;
	if (api_page(c, 50, 100, &l->page, &e) ||
	    (l->total = vmm_images(api_of(c)->vmm, -1, (l->page.page - 1) * l->page.size,
				   l->page.size, &l->rows, &l->n, &e)) < 0) {
		call_reply_err(c, &e);
		list_free(l);
		return;
	}
	vmm_images_look(api_of(c)->vmm, l->rows, l->n, list_looked, l);
}

static void image_looked(void *arg, const struct image_look *looks)
{
	struct image_list *l = arg;

	call_reply(l->call, 200, shape_image(l->rows, looks));
	list_free(l);
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
		err_field(&e, ERR_NOT_FOUND, "name", c->param[0], "no image is called %.64s",
			  c->param[0]);
	if (!r) {
		vmm_images_look(api_of(c)->vmm, l->rows, 1, image_looked, l);
		return;
	}
	call_reply_err(c, &e);
	list_free(l);
}

/* ------------------------------------------------------------------ changes */

/* The answer, known by now, goes through a change of its own so that it is kept under the key. */
struct image_change {
	struct change ch;
	int status;
	json_t *answer; /* owned, NULL for none */
};

static int apply(struct change *ch, struct answer *ret, struct err *e)
{
	struct image_change *ic = (struct image_change *)ch;

	(void)e;
	*ret = (struct answer){ .status = ic->status, .body = json_incref(ic->answer) };
	return 0;
}

static void image_change_free(struct change *ch)
{
	struct image_change *ic = (struct image_change *)ch;

	json_decref(ic->answer);
	free(ic);
}

static const struct change_ops ops = { .apply = apply, .free = image_change_free };

struct image_job {
	struct call *call;
	json_t *body;         /* owned; NULL for delete */
	struct image_ask ask; /* points into body */
};

static void job_end(struct image_job *j, int status, json_t *answer)
{
	struct image_change *ic = xcalloc(1, sizeof(*ic));

	ic->status = status;
	ic->answer = answer;
	change_run(&ic->ch, j->call, j->body, &ops);
	free(j);
}

static void job_fail(struct image_job *j, const struct err *e)
{
	call_reply_err(j->call, e);
	json_decref(j->body);
	free(j);
}

static void imported(void *arg, const struct image_row *row, const struct err *e)
{
	static const struct image_look good = { .state = IMAGE_AVAILABLE };

	if (e)
		job_fail(arg, e);
	else
		job_end(arg, 201, shape_image(row, &good));
}

static void import(void *arg, bool answered)
{
	struct image_job *j = arg;

	if (!answered) {
		vmm_image_import(api_of(j->call)->vmm, j->ask.source, j->ask.name,
				 j->call->caller.workspace, imported, j);
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
	if (!j->body || read_image_ask(j->body, &j->ask, &e))
		job_fail(j, &e);
	else
		change_probe(c, j->body, import, j);
}

static void deleted(void *arg, const struct err *e)
{
	if (e)
		job_fail(arg, e);
	else
		job_end(arg, 204, NULL);
}

static void delete (void *arg, bool answered)
{
	struct image_job *j = arg;

	if (answered)
		free(j);
	else
		vmm_image_delete(api_of(j->call)->vmm, j->call->param[0], deleted, j);
}

static void delete_image(struct call *c)
{
	struct image_job *j = xcalloc(1, sizeof(*j));

	j->call = c;
	change_probe(c, NULL, delete, j);
}

const struct route image_routes[] = {
	{ "GET", "/api/v1/images", ROLE_READER, 0, 0, get_images, NULL },
	{ "POST", "/api/v1/images", ROLE_ADMIN, ROUTE_MUTATION, 16 * 1024, post_images,
	  &image_ask_table },
	{ "GET", "/api/v1/images/{name}", ROLE_READER, 0, 0, get_image, NULL },
	{ "DELETE", "/api/v1/images/{name}", ROLE_ADMIN, ROUTE_MUTATION | ROUTE_EMPTY_OK, 1024,
	  delete_image, NULL },
	{ 0 },
};
