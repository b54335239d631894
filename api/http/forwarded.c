/* SPDX-License-Identifier: Apache-2.0
 * forwarded.c - the client behind a trusted proxy: X-Forwarded-For, and Forwarded (RFC 7239).
 *
 * Each proxy appends the address from which it was called. So the list is read from its end while
 * the addresses are those of trusted proxies; the first other address is the client. The addresses
 * before that one may be made up by the client and are never used. If all addresses are trusted,
 * the first one is the client.
 *
 * In all other cases the client is the peer itself: the peer is not a trusted proxy, neither field
 * is present, an element that counts is not an address ("unknown", "_hidden"), or the two fields
 * name different clients. The last case happens when a client sends the field that its proxy does
 * not write.
 */
#include "api/http/forwarded.h"

#include <string.h>

#include "api/http/head.h"

enum forwarded_verdict { FORWARDED_ABSENT, FORWARDED_FOUND, FORWARDED_MALFORMED };

static bool forwarded_is_port(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n >= 1 && n <= 5 && !s[n];
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80" */
static bool forwarded_read_address(struct span s, struct peer_address *ret)
{
	char text[PEER_TEXT], *host = text, *end;

	if (s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	end = strchr(text, ':');
	if (*text == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && (end[1] != ':' || !forwarded_is_port(end + 2))))
			return false;
		*end = '\0';
		host++;
	} else if (end && !strchr(end + 1, ':')) {
		if (!forwarded_is_port(end + 1))
			return false;
		*end = '\0';
	}
	return (*text != '[' || strchr(host, ':')) && peer_address_parse(host, ret);
}

static struct span span_unquoted(struct span s)
{
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		return (struct span){ s.p + 1, s.n - 2 };
	return s;
}

/* for=192.0.2.1;proto=https;by="[2001:db8::1]:443" */
static bool forwarded_read_element(struct span s, struct peer_address *ret)
{
	bool found = false;

	while (s.n) {
		const char *semicolon = memchr(s.p, ';', s.n);
		size_t n = semicolon ? (size_t)(semicolon - s.p) : s.n;
		struct span pair = span_trim((struct span){ s.p, n });
		const char *equals = memchr(pair.p, '=', pair.n);
		size_t name = equals ? (size_t)(equals - pair.p) : pair.n;

		if (span_is((struct span){ pair.p, name }, "for")) {
			if (found || !equals ||
			    !forwarded_read_address(
				    span_unquoted((struct span){ equals + 1, pair.n - name - 1 }),
				    ret))
				return false;
			found = true;
		}
		s.p += n + (semicolon != NULL);
		s.n -= n + (semicolon != NULL);
	}
	return found;
}

static const struct forwarded_list {
	const char *name;
	bool (*read)(struct span element, struct peer_address *ret);
} forwarded_lists[] = { { "X-Forwarded-For", forwarded_read_address },
			{ "Forwarded", forwarded_read_element } };

/* Read the elements of @value backwards until one is not a trusted proxy; *more is false then.
 * Empty elements are skipped. */
static enum forwarded_verdict forwarded_read_value(const char *value,
						   const struct forwarded_list *l,
						   const struct peer_networks *proxies, bool *more,
						   struct peer_address *ret)
{
	enum forwarded_verdict v = FORWARDED_ABSENT;
	size_t end = strlen(value);

	while (*more && end) {
		size_t at = end;
		struct span s;

		while (at && value[at - 1] != ',')
			at--;
		s = span_trim((struct span){ value + at, end - at });
		end = at ? at - 1 : 0;
		if (!s.n)
			continue;
		v = l->read(s, ret) ? FORWARDED_FOUND : FORWARDED_MALFORMED;
		*more = v == FORWARDED_FOUND && peer_is_in(ret, proxies);
	}
	return v;
}

/* Several fields of one name are one list, in their order. *ret is the client if FORWARDED_FOUND.
 */
static enum forwarded_verdict forwarded_read_list(const struct fields *f,
						  const struct forwarded_list *l,
						  const struct peer_networks *proxies,
						  struct peer_address *ret)
{
	enum forwarded_verdict v = FORWARDED_ABSENT;
	bool more = true;
	unsigned n = 0;

	while (fields_get(f, l->name, n))
		n++;
	while (more && n--) {
		enum forwarded_verdict now =
			forwarded_read_value(fields_get(f, l->name, n), l, proxies, &more, ret);

		v = now == FORWARDED_ABSENT ? v : now;
	}
	return v;
}

struct peer_address forwarded_client(const struct fields *f, const struct peer_networks *proxies,
				     const struct peer_address *peer)
{
	struct peer_address client[2];
	enum forwarded_verdict verdict[2];

	if (!peer_is_in(peer, proxies))
		return *peer;
	for (int i = 0; i < 2; i++) {
		verdict[i] = forwarded_read_list(f, &forwarded_lists[i], proxies, &client[i]);
		if (verdict[i] == FORWARDED_MALFORMED)
			return *peer;
	}
	if (verdict[0] == FORWARDED_ABSENT && verdict[1] == FORWARDED_ABSENT)
		return *peer;
	if (verdict[0] == FORWARDED_FOUND && verdict[1] == FORWARDED_FOUND &&
	    memcmp(&client[0], &client[1], sizeof(client[0])) != 0)
		return *peer;
	return verdict[0] == FORWARDED_FOUND ? client[0] : client[1];
}
