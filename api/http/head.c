/* SPDX-License-Identifier: Apache-2.0
 * head.c - find the end of a request head, and check it before llhttp reads it.
 *
 * llhttp 8.1.0 accepts heads that other HTTP parsers read differently: a bare CR inside a value
 * (CVE-2023-30589), a head ended by CR LF CR and any byte (CVE-2025-23167), folded lines, empty
 * names, blanks in odd places, unknown versions, and requests without a Host or with two. Two
 * parsers that disagree about the end of a request allow request smuggling. So the raw bytes are
 * checked against the grammar of RFC 9112 first, without any of the leniencies that the RFC
 * permits:
 *
 *     head    = method SP target SP "HTTP/1." ("0" / "1") CRLF *(name ":" OWS value OWS CRLF) CRLF
 *
 * Any Transfer-Encoding is answered 411, because no client of this API sends chunked bodies. Then
 * only Content-Length can end a body. There must be at most one, in plain digits.
 *
 * The second parser is head_llhttp.c.
 */
#include "api/http/head.h"

#include <string.h>
#include <strings.h>

static int head_refuse(struct head_fault *f, int status, const char *text)
{
	*f = (struct head_fault){ status, text };
	return -1;
}

static const char *head_bad_byte(char prev, char c)
{
	unsigned char u = (unsigned char)c;

	if (c == '\n')
		return prev == '\r' ? NULL : "line feed without carriage return";
	if (prev == '\r')
		return "carriage return without line feed";
	if ((u < 0x20 && c != '\t' && c != '\r') || u == 0x7f)
		return "control character in the request head";
	return NULL;
}

int head_scan(struct head_scan *s, const char *data, size_t n, size_t max, size_t *ret_len,
	      struct head_fault *f)
{
	for (; s->at < n; s->at++) {
		const char *fault = head_bad_byte(s->at ? data[s->at - 1] : 0, data[s->at]);

		if (fault)
			return head_refuse(f, 400, fault);
		if (s->at >= max)
			return head_refuse(f, 431, "the request head is too large");
		if (!s->first_done && s->at >= max / 2)
			return head_refuse(f, 414, "the request target is too long");
		if (data[s->at] != '\n')
			continue;
		if (s->at == s->line + 1) {
			*ret_len = ++s->at;
			return 1;
		}
		s->line = s->at + 1;
		s->first_done = true;
	}
	return 0;
}

/* tchar of RFC 9110: letters, digits and !#$%&'*+-.^_`|~ */
static bool span_is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      (c && strchr("!#$%&'*+-.^_`|~", c))))
			return false;
	}
	return s.n > 0;
}

bool span_is(struct span s, const char *text)
{
	return s.p && strlen(text) == s.n && !strncasecmp(s.p, text, s.n);
}

static bool span_equals(struct span s, const char *text)
{
	return strlen(text) == s.n && !memcmp(s.p, text, s.n);
}

static int head_check_version(struct span v, struct head *h, struct head_fault *f)
{
	if (v.n != 8 || memcmp(v.p, "HTTP/", 5) != 0 || v.p[5] < '0' || v.p[5] > '9' ||
	    v.p[6] != '.' || v.p[7] < '0' || v.p[7] > '9')
		return head_refuse(
			f, 400, "malformed request line: METHOD SP TARGET SP HTTP/1.1 is expected");
	if (v.p[5] != '1' || v.p[7] > '1')
		return head_refuse(f, 505, "unsupported HTTP version: use HTTP/1.1 or HTTP/1.0");
	h->minor = v.p[7] - '0';
	return 0;
}

static int head_check_method(struct span m, struct head_fault *f)
{
	static const char *const known[] = { "GET",   "HEAD",   "POST",   "PUT",
					     "PATCH", "DELETE", "OPTIONS" };

	if (!span_is_token(m))
		return head_refuse(f, 400, "malformed method");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (span_equals(m, known[i]))
			return 0;
	}
	return head_refuse(f, 501,
			   "unknown method: GET, HEAD, POST, PUT, PATCH and DELETE are served");
}

static int head_check_target(struct span t, struct head_fault *f)
{
	if (t.n == 0 || t.p[0] != '/')
		return head_refuse(f, 400, "the request target must start with '/'");
	for (size_t i = 0; i < t.n; i++) {
		if (t.p[i] <= 0x20 || t.p[i] >= 0x7f || t.p[i] == '#')
			return head_refuse(f, 400, "character not allowed in the request target");
	}
	return 0;
}

static int head_lint_request_line(struct span line, struct head *h, struct head_fault *f)
{
	const char *end = line.p + line.n;
	const char *a = memchr(line.p, ' ', line.n);
	const char *b = a ? memchr(a + 1, ' ', (size_t)(end - a - 1)) : NULL;

	if (!b)
		return head_refuse(
			f, 400, "malformed request line: METHOD SP TARGET SP HTTP/1.1 is expected");
	h->method = (struct span){ line.p, (size_t)(a - line.p) };
	h->target = (struct span){ a + 1, (size_t)(b - a - 1) };
	if (head_check_version((struct span){ b + 1, (size_t)(end - b - 1) }, h, f) ||
	    head_check_method(h->method, f))
		return -1;
	return head_check_target(h->target, f);
}

struct span span_trim(struct span s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

static int head_lint_field(struct span line, struct head *h, struct head_fault *f)
{
	const char *colon = memchr(line.p, ':', line.n);
	struct head_field *to;

	if (line.p[0] == ' ' || line.p[0] == '\t')
		return head_refuse(f, 400, "folded header lines are not accepted");
	if (!colon)
		return head_refuse(f, 400, "header line without a colon");
	if (h->n == HEAD_FIELDS)
		return head_refuse(f, 431, "too many header fields");
	to = &h->field[h->n];
	to->name = (struct span){ line.p, (size_t)(colon - line.p) };
	to->value = span_trim((struct span){ colon + 1, (size_t)(line.p + line.n - colon - 1) });
	if (!span_is_token(to->name))
		return head_refuse(f, 400, "malformed header name");
	h->n++;
	return 0;
}

static int head_check_length(struct span v, struct head *h, struct head_fault *f)
{
	if (h->has_length)
		return head_refuse(f, 400, "more than one Content-Length");
	if (v.n == 0)
		return head_refuse(f, 400, "malformed Content-Length");
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return head_refuse(f, 400, "malformed Content-Length");
		if (i >= 18)
			return head_refuse(f, 413, "the body is too large");
		h->length = h->length * 10 + (uint64_t)(v.p[i] - '0');
	}
	h->has_length = true;
	return 0;
}

static int head_check_host(struct span v, struct head_fault *f)
{
	for (size_t i = 0; i < v.n; i++) {
		char c = v.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		      strchr(".-_:[]", c)))
			return head_refuse(f, 400, "malformed Host");
	}
	return v.n ? 0 : head_refuse(f, 400, "empty Host");
}

/* Check the fields that decide where the request ends and which server it is for. */
static int head_lint_framing(struct head *h, struct head_fault *f)
{
	unsigned hosts = 0;

	for (unsigned i = 0; i < h->n; i++) {
		struct span name = h->field[i].name, value = h->field[i].value;

		if (span_is(name, "transfer-encoding"))
			return head_refuse(
				f, 411, "Transfer-Encoding is not accepted: send Content-Length");
		if (span_is(name, "content-length") && head_check_length(value, h, f))
			return -1;
		if (span_is(name, "host") && hosts++)
			return head_refuse(f, 400, "more than one Host");
		if (span_is(name, "host") && head_check_host(value, f))
			return -1;
		if (span_is(name, "expect") && !span_is(value, "100-continue"))
			return head_refuse(
				f, 417, "unsupported expectation: only 100-continue is supported");
	}
	return hosts || h->minor == 0 ? 0 : head_refuse(f, 400, "HTTP/1.1 requires a Host field");
}

int head_lint(const char *raw, size_t n, struct head *ret, struct head_fault *f)
{
	const char *at = raw, *end = raw + n;

	*ret = (struct head){ 0 };
	while (at < end) {
		const char *lf = memchr(at, '\n', (size_t)(end - at));
		struct span line;

		if (!lf || lf == at || lf[-1] != '\r')
			return head_refuse(f, 400, "line feed without carriage return");
		line = (struct span){ at, (size_t)(lf - at - 1) };
		if (at == raw) {
			if (head_lint_request_line(line, ret, f))
				return -1;
		} else if (line.n == 0) {
			return lf + 1 == end
				       ? head_lint_framing(ret, f)
				       : head_refuse(f, 400,
						     "unexpected bytes after the request head");
		} else if (head_lint_field(line, ret, f)) {
			return -1;
		}
		at = lf + 1;
	}
	return head_refuse(f, 400, "the request head is incomplete");
}

struct span head_find(const struct head *h, const char *name)
{
	for (unsigned i = 0; i < h->n; i++) {
		if (span_is(h->field[i].name, name))
			return h->field[i].value;
	}
	return (struct span){ NULL, 0 };
}

bool head_has_token(struct span list, const char *token)
{
	while (list.n) {
		const char *comma = memchr(list.p, ',', list.n);
		size_t n = comma ? (size_t)(comma - list.p) : list.n;

		if (span_is(span_trim((struct span){ list.p, n }), token))
			return true;
		list.p += n + (comma != NULL);
		list.n -= n + (comma != NULL);
	}
	return false;
}
