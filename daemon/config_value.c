/* SPDX-License-Identifier: Apache-2.0
 * config_value.c - kinds of single values: parse the text into a member, format a member as text.
 *
 * Parsing a formatted value gives the same value: config_apply() compares values by their texts,
 * and --print-config prints texts that can be copied into a file. A test checks this for every
 * default. For list items see config_item.c.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/array.h"
#include "base/buf.h"
#include "base/id.h"
#include "base/strings.h"
#include "daemon/config_value.h"
#include "vmm/admit/networks.h"

/* ------------------------------------------------------------------ texts */

static void text_replace(void *dst, char *s)
{
	free(*(char **)dst);
	*(char **)dst = s;
}

static void release_text(void *value)
{
	text_replace(value, NULL);
}

static void format_text(const struct config_key *k, const void *src, struct buf *out)
{
	const char *s = *(char *const *)src;

	(void)k;
	buf_puts(out, s ? s : "");
}

/* No control characters: values are written into formats with one value per line. Bytes above 127
 * are allowed (UTF-8). */
static bool text_printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			return false;
	return true;
}

/* A key may be set to "" if that is its default. */
static bool key_may_be_empty(const struct config_key *k)
{
	return !*k->preset;
}

static bool text_store(const struct config_key *k, const char *text, bool good, void *dst)
{
	if (!*text ? !key_may_be_empty(k) : !good)
		return false;
	text_replace(dst, xstrdup(text));
	return true;
}

static bool parse_text(const struct config_key *k, const char *text, void *dst)
{
	size_t max = k->max ? (size_t)k->max : 255;

	return text_store(k, text, strlen(text) <= max && text_printable(text), dst);
}

static bool text_only(const char *s, const char *allowed)
{
	return s[strspn(s, allowed)] == '\0';
}

#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool parse_name(const struct config_key *k, const char *text, void *dst)
{
	bool good = strlen(text) <= 63 && text_only(text, LOWER UPPER DIGITS "._-") &&
		    strcspn(text, "._-") > 0;

	return text_store(k, text, good, dst);
}

static bool parse_slug(const struct config_key *k, const char *text, void *dst)
{
	bool good = strlen(text) <= 63 && text_only(text, LOWER DIGITS "-") &&
		    strcspn(text, DIGITS "-") > 0;

	return text_store(k, text, good, dst);
}

static bool parse_host(const struct config_key *k, const char *text, void *dst)
{
	bool good = strlen(text) <= 253 && text_only(text, LOWER UPPER DIGITS ".-") &&
		    strcspn(text, ".-") > 0;

	return text_store(k, text, good, dst);
}

/* Paths are inserted into QEMU options, libvirt configuration and URIs. These quote differently, so
 * characters that any of them treats specially are not allowed. */
static bool text_unquoted(const char *s)
{
	return text_printable(s) && !strpbrk(s, ",\"'\\");
}

static bool parse_path(const struct config_key *k, const char *text, void *dst)
{
	return text_store(k, text, *text == '/' && strlen(text) < 1024 && text_unquoted(text), dst);
}

static bool parse_uri(const struct config_key *k, const char *text, void *dst)
{
	static const char *const known[] = { "qemu:///system", "qemu:///session", "qemu:///embed",
					     "qemu+unix:///",  "qemu+tls://",     "qemu+ssh://",
					     "test://" };

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		size_t n = strlen(known[i]);

		if (!strncmp(text, known[i], n) &&
		    (known[i][n - 1] == '/' || strspn(text + n, "?") || !text[n]))
			return text_store(k, text, strlen(text) < 512 && text_unquoted(text), dst);
	}
	return false;
}

static bool parse_networks(const struct config_key *k, const char *text, void *dst)
{
	struct network v[DOMAIN_NICS];
	struct err ignored;
	unsigned n;

	return text_store(k, text, networks_parse(k->name, text, v, &n, &ignored) == 0, dst);
}

/* Stored without 0x and in lower case, so that equal values have equal texts. */
static bool parse_hex(const struct config_key *k, const char *text, void *dst)
{
	const char *digits = strncmp(text, "0x", 2) ? text : text + 2;

	if (*text && !*digits)
		return false;
	if (!text_store(k, digits, id_is_hex(digits, (size_t)k->max), dst))
		return false;
	for (char *s = *(char **)dst; *s; s++)
		*s = (char)tolower(*s);
	return true;
}

char *value_parse_url(const char *text)
{
	size_t scheme = !strncmp(text, "http://", 7) ? 7 : !strncmp(text, "https://", 8) ? 8 : 0;
	size_t n = strlen(text);

	if (!scheme || n > 512 || strcspn(text, " \"\\<>") != n || !text_printable(text))
		return NULL;
	while (n > scheme && text[n - 1] == '/')
		n--;
	return n > scheme && strcspn(text + scheme, "/:?#") > 0 ? xstrndup(text, n) : NULL;
}

static bool parse_url(const struct config_key *k, const char *text, void *dst)
{
	char *url = *text ? value_parse_url(text) : key_may_be_empty(k) ? xstrdup("") : NULL;

	if (url)
		text_replace(dst, url);
	return url;
}

static bool parse_address(const struct config_key *k, const char *text, void *dst)
{
	char *address = value_parse_host_address(text);

	(void)k;
	if (address)
		text_replace(dst, address);
	return address;
}

/* QEMU's user network (hostfwd_add) supports IPv4 only: QEMU 7.2 fails with "Bad host address" for
 * "tcp:[::1]:80-:80". Multicast, broadcast and 0.0.0.0/8 (except 0.0.0.0) are not host addresses.
 */
char *value_parse_host_address(const char *text)
{
	struct in_addr a;
	uint32_t first;

	if (inet_pton(AF_INET, text, &a) != 1)
		return NULL;
	first = ntohl(a.s_addr) >> 24;
	return first >= 224 || (!first && a.s_addr) ? NULL : xstrdup(text);
}

char *value_parse_address(const char *text)
{
	char out[INET6_ADDRSTRLEN];
	unsigned char raw[16];
	int family = strchr(text, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, text, raw) != 1)
		return NULL;
	return xstrdup(inet_ntop(family, raw, out, sizeof(out)));
}

/* ------------------------------------------------------------------ numbers and words */

bool value_parse_number(const char *text, size_t len, uint64_t max, uint64_t *ret)
{
	uint64_t n = 0;

	if (!len || len > 20)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(n, 10u, &n) ||
		    __builtin_add_overflow(n, (unsigned)(text[i] - '0'), &n))
			return false;
	}
	if (n > max)
		return false;
	*ret = n;
	return true;
}

static bool parse_int(const struct config_key *k, const char *text, void *dst)
{
	uint64_t n;

	if (!value_parse_number(text, strlen(text), (uint64_t)k->max, &n) || n < (uint64_t)k->min)
		return false;
	*(int64_t *)dst = (int64_t)n;
	return true;
}

static void format_int(const struct config_key *k, const void *src, struct buf *out)
{
	(void)k;
	buf_printf(out, "%" PRId64, *(const int64_t *)src);
}

static const char size_units[] = "KMGT";

static bool parse_size(const struct config_key *k, const char *text, void *dst)
{
	size_t len = strlen(text);
	const char *unit = len ? strchr(size_units, text[len - 1]) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - size_units + 1) : 0;
	uint64_t n;

	if (!value_parse_number(text, len - (unit ? 1 : 0), (uint64_t)k->max >> shift, &n) ||
	    n << shift < (uint64_t)k->min)
		return false;
	*(int64_t *)dst = (int64_t)(n << shift);
	return true;
}

static void format_size(const struct config_key *k, const void *src, struct buf *out)
{
	int64_t n = *(const int64_t *)src;
	int unit = -1;

	(void)k;
	while (n && n % 1024 == 0 && unit < 3) {
		n /= 1024;
		unit++;
	}
	buf_printf(out, "%" PRId64, n);
	if (unit >= 0)
		buf_add(out, &size_units[unit], 1);
}

static bool parse_mode(const struct config_key *k, const char *text, void *dst)
{
	size_t len = strlen(text);

	if (!len || len > 4 || !text_only(text, "01234567") || strtol(text, NULL, 8) > k->max)
		return false;
	*(int64_t *)dst = strtol(text, NULL, 8);
	return true;
}

static void format_mode(const struct config_key *k, const void *src, struct buf *out)
{
	(void)k;
	buf_printf(out, "%04" PRIo64, (uint64_t) * (const int64_t *)src);
}

static bool parse_bool(const struct config_key *k, const char *text, void *dst)
{
	static const struct config_word forms[] = { { "yes", 1 },   { "no", 0 }, { "true", 1 },
						    { "false", 0 }, { "on", 1 }, { "off", 0 },
						    { "1", 1 },     { "0", 0 } };

	(void)k;
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		if (!strcasecmp(text, forms[i].name)) {
			*(bool *)dst = forms[i].value;
			return true;
		}
	}
	return false;
}

static void format_bool(const struct config_key *k, const void *src, struct buf *out)
{
	(void)k;
	buf_puts(out, *(const bool *)src ? "yes" : "no");
}

static bool parse_word(const struct config_key *k, const char *text, void *dst)
{
	for (const struct config_word *w = k->words; w->name; w++) {
		if (!strcmp(w->name, text)) {
			*(int *)dst = w->value;
			return true;
		}
	}
	return false;
}

static void format_word(const struct config_key *k, const void *src, struct buf *out)
{
	for (const struct config_word *w = k->words; w->name; w++)
		if (w->value == *(const int *)src)
			buf_puts(out, w->name);
}

static bool parse_amount(const struct config_key *k, const char *text, void *dst)
{
	struct config_amount a = { .kind = AMOUNT_NUMBER };

	if (!strcmp(text, "auto"))
		a.kind = AMOUNT_AUTO;
	else if (!strcmp(text, "none"))
		a.kind = AMOUNT_NONE;
	else if (!value_parse_number(text, strlen(text), (uint64_t)k->max, &a.value))
		return false;
	*(struct config_amount *)dst = a;
	return true;
}

static void format_amount(const struct config_key *k, const void *src, struct buf *out)
{
	const struct config_amount *a = src;

	(void)k;
	if (a->kind == AMOUNT_NUMBER)
		buf_printf(out, "%" PRIu64, a->value);
	else
		buf_puts(out, a->kind == AMOUNT_AUTO ? "auto" : "none");
}

/* ------------------------------------------------------------------ value types */

#define TEXT(parser, text_rule)                                                  \
	{                                                                        \
		.parse = parser, .format = format_text, .release = release_text, \
		.size = sizeof(char *), .rule = (text_rule)                      \
	}

const struct value_type type_text = TEXT(parse_text, "one line of text");
const struct value_type type_name = TEXT(
	parse_name, "up to 63 letters, digits, '.', '_' and '-', starting with a letter or digit");
const struct value_type type_slug =
	TEXT(parse_slug, "up to 63 lower-case letters, digits and hyphens, starting with a letter");
const struct value_type type_host = TEXT(parse_host, "a host name");
const struct value_type type_url = TEXT(parse_url, "an http:// or https:// URL");
const struct value_type type_path =
	TEXT(parse_path, "an absolute path without commas, quotes or backslashes");
const struct value_type type_uri =
	TEXT(parse_uri,
	     "a libvirt URI: qemu:///system, qemu+unix:///system?socket=/path or qemu:///embed");
const struct value_type type_networks =
	TEXT(parse_networks, "user or bridge:NAME, separated by commas, at most 8");
const struct value_type type_hex = TEXT(parse_hex, "hex digits");
const struct value_type type_address = TEXT(
	parse_address, "an IPv4 address of this host, or 0.0.0.0; QEMU has no IPv6 port forwards");

const struct value_type type_int = { .parse = parse_int,
				     .format = format_int,
				     .size = sizeof(int64_t) };
const struct value_type type_size = { .parse = parse_size,
				      .format = format_size,
				      .size = sizeof(int64_t) };
const struct value_type type_mode = { .parse = parse_mode,
				      .format = format_mode,
				      .size = sizeof(int64_t),
				      .rule = "an octal number up to 0777" };
const struct value_type type_bool = {
	.parse = parse_bool, .format = format_bool, .size = sizeof(bool), .rule = "yes or no"
};
const struct value_type type_word = { .parse = parse_word,
				      .format = format_word,
				      .size = sizeof(int) };
const struct value_type type_amount = { .parse = parse_amount,
					.format = format_amount,
					.size = sizeof(struct config_amount) };

static void rule_of_words(const struct config_key *k, struct buf *out)
{
	for (const struct config_word *w = k->words; w->name; w++)
		buf_printf(out, "%s%s", w == k->words ? "" : w[1].name ? ", " : " or ", w->name);
}

void value_rule(const struct config_key *k, struct buf *out)
{
	if (k->rule || k->type->rule)
		buf_puts(out, k->rule ? k->rule : k->type->rule);
	else if (k->type == &type_word)
		rule_of_words(k, out);
	else
		buf_printf(out, "%s%s from %" PRId64 " to %" PRId64,
			   k->type == &type_amount ? "auto, none, or " : "",
			   k->type == &type_size
				   ? "a number of bytes, or a number with suffix K, M, G or T,"
				   : "a whole number",
			   k->min, k->max);
}

bool config_amount(const struct config_amount *a, uint64_t measured, uint64_t reserve,
		   uint64_t *ret)
{
	if (a->kind == AMOUNT_NONE)
		return false;
	if (a->kind == AMOUNT_NUMBER)
		*ret = a->value;
	else
		*ret = measured > reserve ? measured - reserve : 0;
	return true;
}
