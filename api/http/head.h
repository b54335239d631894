/* SPDX-License-Identifier: Apache-2.0
 * head.h - a request head: found, held against the rules, and parsed twice.
 */
#ifndef TEEPOD_API_HTTP_HEAD_H
#define TEEPOD_API_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HEAD_FIELDS = 100 };

struct span {
	const char *p;
	size_t n;
};

struct head_field {
	struct span name, value; /* value without the white space around it */
};

struct head {
	struct span method, target;
	int minor; /* HTTP/1.minor */
	bool has_length;
	uint64_t length; /* Content-Length, 0 without */
	unsigned n;
	struct head_field field[HEAD_FIELDS];
};

/* Why a head was refused. */
struct head_fault {
	int status;       /* 400, 411, 414, 417, 431, 501, 505 */
	const char *text; /* static */
};

/* How far the search for the end of a head has come; zero it for a new head. */
struct head_scan {
	size_t at, line; /* bytes looked at; where the current line starts */
	bool first_done; /* the request line is complete */
};

/* Look at what came since the last call. @max: bytes a head may have, half of that for the request
 * line. 1: a head of *ret_len bytes is complete; 0: more is needed; -1: refused, *f says why.
 * Control characters, bare CR and bare LF are refused as soon as they arrive: waiting for an end
 * that can not come would be a time-out for a plain error. */
int head_scan(struct head_scan *s, const char *data, size_t n, size_t max, size_t *ret_len,
	      struct head_fault *f);

/* Our own reading of a complete head, by rules stricter than llhttp's. 0, or -1 with *f. Spans
 * point into @raw. */
int head_lint(const char *raw, size_t n, struct head *ret, struct head_fault *f);

/* llhttp's reading. 0, or -1 if it refuses. */
int head_llhttp(const char *raw, size_t n, struct head *ret);

/* Do both readings say the same? */
bool head_agree(const struct head *a, const struct head *b);

/* The three above: what this returns was accepted by both readers with the same meaning. */
int head_parse(const char *raw, size_t n, struct head *ret, struct head_fault *f);

/* Value of the first field @name, whatever its case; p is NULL if there is none. */
struct span head_find(const struct head *h, const char *name);

/* Is @token in the comma-separated list @list, whatever its case? */
bool head_has_token(struct span list, const char *token);

/* Without blanks and tabs around it. */
struct span span_trim(struct span s);
bool span_is(struct span s, const char *text); /* case-insensitive */

#endif
