/* SPDX-License-Identifier: Apache-2.0
 * err.c - the error value. Its texts are always valid UTF-8, even if they were cut or quote other
 * text.
 */
#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/array.h"
#include "base/err.h"
#include "base/utf8.h"

static const char *const words[] = {
	[ERR_NONE] = "none",
	[ERR_INVALID] = "invalid",
	[ERR_NOT_FOUND] = "not_found",
	[ERR_BUSY] = "busy",
	[ERR_CAPACITY] = "capacity",
	[ERR_CAPACITY_UNSET] = "capacity_unset",
	[ERR_CVM_NOT_FOUND] = "cvm_not_found",
	[ERR_CVM_AMBIGUOUS] = "cvm_ambiguous",
	[ERR_NAME_TAKEN] = "name_taken",
	[ERR_NODE_NOT_FOUND] = "node_not_found",
	[ERR_COMPOSE_MISSING] = "compose_missing",
	[ERR_COMPOSE_INVALID] = "compose_invalid",
	[ERR_TYPE_NOT_FOUND] = "type_not_found",
	[ERR_INCOMPATIBLE] = "incompatible",
	[ERR_IMAGE_NOT_FOUND] = "image_not_found",
	[ERR_IMAGE_MISMATCH] = "image_mismatch",
	[ERR_IN_USE] = "in_use",
	[ERR_CONFLICT] = "conflict",
	[ERR_UNAUTHENTICATED] = "unauthenticated",
	[ERR_FORBIDDEN] = "forbidden",
	[ERR_RATE] = "rate",
	[ERR_UNAVAILABLE] = "unavailable",
	[ERR_UNSUPPORTED] = "unsupported",
	[ERR_HOST] = "host",
	[ERR_TIMEOUT] = "timeout",
	[ERR_CANCELLED] = "cancelled",
	[ERR_TOO_LARGE] = "too_large",
	[ERR_GPU] = "gpu",
	[ERR_GPU_BUSY] = "gpu_busy",
	[ERR_PRECONDITION] = "precondition",
	[ERR_NODE_CLOSED] = "node_closed",
	[ERR_QUOTA] = "quota",
	[ERR_QUOTA_SIZE] = "quota_size",
	[ERR_QUOTA_CVMS] = "quota_cvms",
	[ERR_BALANCE] = "balance",
	[ERR_KEYS] = "keys",
	[ERR_KEY_RATE] = "key_rate",
	[ERR_CVM_ELSEWHERE] = "cvm_elsewhere",
	[ERR_REPLICA_IMAGE] = "replica_image",
	[ERR_APP_CONFLICT] = "app_conflict",
	[ERR_REPLICA_SOURCE] = "replica_source",
	[ERR_REPLICA_HASH] = "replica_hash",
};
static_assert(ARRAY_SIZE(words) == ERR_CODES, "every err_code has a word");

static int err_fill(struct err *e, enum err_code code, const char *fmt, va_list ap)
{
	assert(code > ERR_NONE && code < ERR_CODES);
	memset(e, 0, sizeof(*e));
	e->code = code;
	e->cap.numa_node = -1;
	(void)vsnprintf(e->text, sizeof(e->text), fmt, ap);
	utf8_repair(e->text);
	return -(int)code;
}

int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = err_fill(e, code, fmt, ap);
	va_end(ap);
	return r;
}

/* Copy untrusted text: replace control characters, and cut between characters. */
static void copy_printable(char *out, size_t size, const char *s)
{
	size_t i = 0;

	for (; i < size - 1 && s[i]; i++)
		out[i] = (unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i];
	if (s[i])
		while (i > 0 && ((unsigned char)s[i] & 0xc0) == 0x80)
			i--;
	out[i] = 0;
	utf8_repair(out);
}

int err_field(struct err *e, enum err_code code, const char *field, const char *value,
	      const char *fmt, ...)
{
	char kept[96] = "";
	va_list ap;
	int r;

	if (value)
		copy_printable(kept, sizeof(kept), value);
	va_start(ap, fmt);
	r = err_fill(e, code, fmt, ap);
	va_end(ap);
	(void)snprintf(e->field, sizeof(e->field), "%s", field ? field : "");
	utf8_repair(e->field);
	memcpy(e->value, kept, sizeof(kept));
	return r;
}

int err_sys(struct err *e, int sys, const char *fmt, ...)
{
	size_t used;
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = err_fill(e, ERR_HOST, fmt, ap);
	va_end(ap);
	e->sys = sys;
	used = strlen(e->text);
	(void)snprintf(e->text + used, sizeof(e->text) - used, ": %s",
		       strerrordesc_np(sys) ?: "unknown error");
	utf8_repair(e->text);
	return r;
}

int err_capacity(struct err *e, const char *resource, uint64_t asked, uint64_t left, uint64_t total)
{
	int r = err_set(e, ERR_CAPACITY, "not enough %s: asked %llu, free %llu of %llu", resource,
			(unsigned long long)asked, (unsigned long long)left,
			(unsigned long long)total);

	e->cap = (struct err_cap){
		.resource = resource,
		.asked = asked,
		.free = left,
		.total = total,
		.numa_node = -1,
	};
	return r;
}

void err_hide_total(struct err *e)
{
	static const char of[] = " of ";
	char *at = e->text, *end;

	if (e->code != ERR_CAPACITY)
		return;
	e->cap.total = ERR_TOTAL_HIDDEN;
	while ((at = strstr(at, of))) {
		end = at + strlen(of) + strspn(at + strlen(of), "0123456789");
		if (end > at + strlen(of))
			memmove(at, end, strlen(end) + 1);
		else
			at = end; /* "of NUMA node 1": no total */
	}
}

int err_share(struct err *e, enum err_code code, const char *resource, int64_t asked, int64_t left,
	      int64_t total, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = err_fill(e, code, fmt, ap);
	va_end(ap);
	e->cap = (struct err_cap){
		.resource = resource,
		.asked = (uint64_t)asked,
		.free = (uint64_t)left,
		.total = (uint64_t)total,
		.numa_node = -1,
	};
	return r;
}

int err_hint(struct err *e, const char *fmt, ...)
{
	va_list ap;

	assert(e->code);
	va_start(ap, fmt);
	(void)vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
	va_end(ap);
	utf8_repair(e->hint);
	return -(int)e->code;
}

/* ------------------------------------------------------------------ causes */

struct text_line {
	const char *at;
	size_t n;
};

static bool line_contains(struct text_line l, const char *word)
{
	return memmem(l.at, l.n, word, strlen(word));
}

/* QEMU writes these lines without an error, too, before and after a fatal one. A warning may be
 * followed by a line with advice. */
static bool is_notice(struct text_line l)
{
	static const char advice[] = "Please use ";
	static const char *const notices[] = {
		"warning:",
		"Warning:",
		": info:",
		"char device redirected to",
		"is deprecated",
		"is tainted",
		"starting up libvirt",
		"shutting down, reason=",
		"terminating on signal",
	};

	for (size_t i = 0; i < sizeof(notices) / sizeof(*notices); i++)
		if (line_contains(l, notices[i]))
			return true;
	return l.n >= sizeof(advice) && !memcmp(l.at, advice, sizeof(advice) - 1);
}

/* QEMU's errors begin with its name, after an optional time; advice that follows does not. */
static bool has_name(struct text_line l)
{
	return line_contains(l, "qemu-system-") || line_contains(l, "qemu-img: ") ||
	       line_contains(l, "qemu: ");
}

static struct text_line line_at(const char *text)
{
	return (struct text_line){ text, strcspn(text, "\r\n") };
}

/* The text of libvirt before the output of QEMU: up to QEMU's time or name. */
static struct text_line own_words(struct text_line l)
{
	const char *name = memmem(l.at, l.n, "qemu-system-", 12),
		   *year = memmem(l.at, l.n, ": 20", 4);

	if (year && (!name || year < name))
		name = year;
	if (name)
		l.n = (size_t)(name - l.at);
	while (l.n && strchr(": ", l.at[l.n - 1]))
		l.n--;
	return l;
}

/* Remove QEMU's time: the operation of the error has a time already. */
static struct text_line without_time(struct text_line l)
{
	const char *name =
		l.n && isdigit((unsigned char)*l.at) ? memmem(l.at, l.n, "Z qemu-", 7) : NULL;

	if (!name)
		return l;
	name += 2;
	return (struct text_line){ name, l.n - (size_t)(name - l.at) };
}

/* The last error with a name, else the first line that is not a notice, else the text before the
 * notices. */
static struct text_line cause_of(const char *output)
{
	struct text_line named = { 0 }, plain = { 0 }, first = { "", 0 }, before;

	for (const char *p = output; *p; p += strspn(p, "\r\n")) {
		struct text_line l = line_at(p);

		p += l.n;
		if (!l.n)
			continue;
		if (!first.n)
			first = l;
		if (is_notice(l))
			continue;
		if (has_name(l))
			named = l;
		if (!plain.n)
			plain = l;
	}
	if (named.n || plain.n)
		return without_time(named.n ? named : plain);
	before = own_words(first);
	return before.n ? before : first;
}

void err_cause(const char *output, char *out, size_t n)
{
	struct text_line l = cause_of(output);

	(void)snprintf(out, n, "%.*s", (int)l.n, l.at);
}

const char *err_word(enum err_code code)
{
	return (unsigned)code < ERR_CODES ? words[code] : "unknown";
}
