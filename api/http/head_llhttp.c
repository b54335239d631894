/* SPDX-License-Identifier: Apache-2.0
 * head_llhttp.c - the second parser of request heads: llhttp in strict mode, no lenient flag set.
 *
 * Both parsers must accept a head and read the same before the server acts on it. If they differ,
 * one of them has an unknown bug: the request is answered 400. The fuzzer searches for such heads
 * (tests/fuzz/head_fuzz.c).
 */
#include "api/http/head.h"

#include <string.h>

#include <llhttp.h>

static struct head *llhttp_head_of(llhttp_t *p)
{
	return p->data;
}

static int on_llhttp_url(llhttp_t *p, const char *at, size_t n)
{
	llhttp_head_of(p)->target = (struct span){ at, n };
	return 0;
}

static int on_llhttp_field(llhttp_t *p, const char *at, size_t n)
{
	struct head *h = llhttp_head_of(p);

	if (h->n == HEAD_FIELDS)
		return HPE_USER;
	h->field[h->n++].name = (struct span){ at, n };
	return 0;
}

static int on_llhttp_value(llhttp_t *p, const char *at, size_t n)
{
	struct head *h = llhttp_head_of(p);

	while (n && (at[n - 1] == ' ' || at[n - 1] == '\t'))
		n--;
	if (h->n)
		h->field[h->n - 1].value = (struct span){ at, n };
	return 0;
}

static int on_llhttp_end(llhttp_t *p)
{
	(void)p;
	return HPE_PAUSED;
}

int head_llhttp(const char *raw, size_t n, struct head *ret)
{
	static llhttp_settings_t settings;
	struct head h = { 0 };
	const char *method;
	llhttp_t p;

	if (!settings.on_url) {
		llhttp_settings_init(&settings);
		settings.on_header_field = on_llhttp_field;
		settings.on_header_value = on_llhttp_value;
		settings.on_headers_complete = on_llhttp_end;
		settings.on_url = on_llhttp_url;
	}
	llhttp_init(&p, HTTP_REQUEST, &settings);
	p.data = &h;
	if (llhttp_execute(&p, raw, n) != HPE_PAUSED || llhttp_get_error_pos(&p) != raw + n)
		return -1;
	method = llhttp_method_name((llhttp_method_t)llhttp_get_method(&p));
	h.method = (struct span){ method, strlen(method) };
	h.minor = llhttp_get_http_major(&p) == 1 ? llhttp_get_http_minor(&p) : -1;
	h.has_length = p.flags & F_CONTENT_LENGTH;
	h.length = h.has_length ? p.content_length : 0;
	if (p.flags & (F_CHUNKED | F_TRANSFER_ENCODING))
		return -1;
	*ret = h;
	return 0;
}

static bool span_same(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || !memcmp(a.p, b.p, a.n));
}

bool head_agree(const struct head *a, const struct head *b)
{
	if (!span_same(a->method, b->method) || !span_same(a->target, b->target) ||
	    a->minor != b->minor || a->n != b->n || a->has_length != b->has_length ||
	    a->length != b->length)
		return false;
	for (unsigned i = 0; i < a->n; i++) {
		if (!span_same(a->field[i].name, b->field[i].name) ||
		    !span_same(a->field[i].value, b->field[i].value))
			return false;
	}
	return true;
}

int head_parse(const char *raw, size_t n, struct head *ret, struct head_fault *f)
{
	struct head own, other;

	if (head_lint(raw, n, &own, f))
		return -1;
	if (head_llhttp(raw, n, &other) || !head_agree(&own, &other)) {
		*f = (struct head_fault){ 400, "malformed request head" };
		return -1;
	}
	*ret = own;
	return 0;
}
