/* SPDX-License-Identifier: Apache-2.0
 * head.h - a request head: find its end, check it, and parse it with two parsers.
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
	struct span name, value; /* value without white space around it */
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
	int status;       /* 400, 411, 413, 414, 417, 431, 501, 505 */
	const char *text; /* static */
};

/* Progress of the search for the end of a head; zeroed for a new head. */
struct head_scan {
	size_t at, line; /* bytes examined; where the current line starts */
	bool first_done; /* the request line is complete */
};

/* Examine the bytes that arrived since the last call. @max: bytes of a head; the request line may
 * have half of them. 1: a head of *ret_len bytes is complete; 0: more is needed; -1: refused, see
 * *f. Control characters, bare CR and bare LF are refused as soon as they arrive: the end of such a
 * head would never be found, and the client would get a time-out instead of the reason. */
int head_scan(struct head_scan *s, const char *data, size_t n, size_t max, size_t *ret_len,
	      struct head_fault *f);

/* Parse a complete head by our own rules, which are stricter than those of llhttp. 0, or -1 with
 * *f. The spans of *ret point into @raw. */
int head_lint(const char *raw, size_t n, struct head *ret, struct head_fault *f);

/* Parse a complete head with llhttp. 0, or -1 if it refuses. */
int head_llhttp(const char *raw, size_t n, struct head *ret);

/* True if both parsers read the same values. */
bool head_agree(const struct head *a, const struct head *b);

/* The three above. 0: both parsers accepted the head with the same meaning. */
int head_parse(const char *raw, size_t n, struct head *ret, struct head_fault *f);

/* Value of the first field @name; p is NULL if there is none. Case is ignored. */
struct span head_find(const struct head *h, const char *name);

/* True if @token is in the comma-separated list @list. Case is ignored. */
bool head_has_token(struct span list, const char *token);

/* @s without blanks and tabs around it. */
struct span span_trim(struct span s);
bool span_is(struct span s, const char *text); /* case-insensitive */

#endif
