/* SPDX-License-Identifier: Apache-2.0
 * call.c - read the header fields, the query and the body of a request.
 *
 * Query pairs and the base URL are computed by the first call that needs them and kept in
 * call_data. The JSON of a long body was parsed by a job before the handler was called
 * (body_parse.c); the first call_json() hands it out, later ones parse again.
 */
#include "api/http/call.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "api/http/call_data.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/json.h"
#include <jansson.h>
#include "base/own.h"
#include "base/strings.h"

const char *call_header_nth(const struct call *c, const char *name, unsigned nth)
{
	return fields_get(&c->data->fields, name, nth);
}

const char *call_header(const struct call *c, const char *name)
{
	return call_header_nth(c, name, 0);
}

const char *call_query(struct call *c, const char *key, unsigned nth)
{
	struct call_data *d = c->data;

	if (!c->query[0])
		return NULL;
	if (!d->pairs) {
		d->pairs = xcalloc(TARGET_PAIRS, sizeof(d->pairs[0]));
		d->n_pairs = target_pairs(c->query, d->pairs, &d->pairs_store);
	}
	for (unsigned i = 0; i < d->n_pairs; i++) {
		if (!strcmp(d->pairs[i].key, key) && nth-- == 0)
			return d->pairs[i].value;
	}
	return NULL;
}

int call_query_int(struct call *c, const char *key, int64_t min, int64_t max, int64_t def,
		   int64_t *ret, struct err *e)
{
	const char *text = call_query(c, key, 0);
	char *end;
	long long v;

	if (!text) {
		*ret = def;
		return 0;
	}
	errno = 0;
	v = strtoll(text, &end, 10);
	/* strtoll() skips blanks and accepts a '+'; a query parameter must not have them */
	if (errno || *end || end == text || !strchr("-0123456789", text[0]) || v < min || v > max)
		return err_field(e, ERR_INVALID, key, text,
				 "%s must be a whole number from %lld to %lld", key, (long long)min,
				 (long long)max);
	*ret = v;
	return 0;
}

int call_query_bool(struct call *c, const char *key, bool def, bool *ret, struct err *e)
{
	const char *text = call_query(c, key, 0);

	if (!text)
		*ret = def;
	else if (!text[0] || !strcasecmp(text, "true") || !strcmp(text, "1"))
		*ret = true;
	else if (!strcasecmp(text, "false") || !strcmp(text, "0"))
		*ret = false;
	else
		return err_field(e, ERR_INVALID, key, text, "%s must be true or false", key);
	return 0;
}

static json_t *call_read_body(const struct call *c, struct err *e)
{
	struct body_parse *b = c->data->parsed;

	if (!b || b->given)
		return json_read(c->body, c->body_len, e);
	if (!b->json)
		*e = b->e;
	b->given = b->json;
	return take_ptr(&b->json);
}

const char *call_canonical(const struct call *c, const json_t *body)
{
	const struct body_parse *b = c->data->parsed;

	return b && b->given == body ? b->canonical : NULL;
}

json_t *call_json(const struct call *c, bool empty_ok, struct err *e)
{
	json_t *j;

	assert(c->data && (!c->data->parsed || !c->data->parsed->waiting));
	if (c->body_len == 0) {
		if (empty_ok)
			return json_object();
		(void)err_field(e, ERR_INVALID, "body", "",
				"a JSON object is required as the request body");
		return NULL;
	}
	j = call_read_body(c, e);
	if (j && !json_is_object(j)) {
		json_decref(j);
		(void)err_field(e, ERR_INVALID, "body", "",
				"the request body must be a JSON object");
		return NULL;
	}
	return j;
}

bool call_is_cut(const struct call *c)
{
	return c->data->cut;
}

int call_refuse_cut(const struct call *c, struct err *e)
{
	return call_is_cut(c) ? err_set(e, ERR_UNAVAILABLE, "the daemon is shutting down") : 0;
}

const char *call_base_url(const struct call *c)
{
	struct call_data *d = c->data;

	if (!d->base_url)
		d->base_url = xasprintf("%s://%s", d->tls ? "https" : "http", d->authority);
	return d->base_url;
}

void call_add_header(struct call *c, const char *name, const char *value)
{
	assert(name[0] && !strpbrk(name, "\r\n: ") && !strpbrk(value, "\r\n"));
	buf_printf(&c->data->extra, "%s: %s\r\n", name, value);
}
