/* SPDX-License-Identifier: Apache-2.0
 * compose_port.c - parses the short form of a docker compose "ports" entry:
 * [[address:]published:]target[/protocol].
 */
#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/compose/compose_port.h"

struct port_span {
	unsigned from, to;
};

static bool port_number(const char **s, unsigned *ret)
{
	unsigned n = 0, digits = 0;

	for (; **s >= '0' && **s <= '9' && digits < 6; (*s)++, digits++)
		n = n * 10 + (unsigned)(**s - '0');
	*ret = n;
	return digits && n <= 65535;
}

static bool port_range_parse(const char *s, struct port_span *r)
{
	if (!port_number(&s, &r->from))
		return false;
	r->to = r->from;
	if (*s == '-' && (s++, !port_number(&s, &r->to)))
		return false;
	return !*s && r->from <= r->to;
}

/* Remove the protocol from @s. False if docker does not know it. *skip: docker knows it, but we do
 * not forward it. */
static bool port_protocol_cut(char *s, bool *udp, bool *skip)
{
	char *slash = strchr(s, '/');

	*udp = *skip = false;
	if (!slash)
		return true;
	*slash++ = '\0';
	*udp = !strcasecmp(slash, "udp");
	*skip = !strcasecmp(slash, "sctp");
	return *udp || *skip || !strcasecmp(slash, "tcp");
}

static bool port_address_ok(char *s, char out[46])
{
	size_t n = strlen(s);
	unsigned char raw[16];

	if (n > 2 && s[0] == '[' && s[n - 1] == ']') {
		s[n - 1] = '\0';
		s++;
	}
	if (strlen(s) >= 46 ||
	    (inet_pton(AF_INET, s, raw) != 1 && inet_pton(AF_INET6, s, raw) != 1))
		return false;
	strcpy(out, s);
	return true;
}

bool compose_port_parse(const char *text, struct compose_port *ports, size_t max, size_t *ret_n)
{
	char s[128], *target, *published = NULL, *colon;
	struct compose_port p = { 0 };
	struct port_span t, h = { 0 };
	bool skip;
	size_t n = 0;

	if (strlen(text) >= sizeof(s))
		return false;
	strcpy(s, text);
	if (!port_protocol_cut(s, &p.udp, &skip))
		return false;
	target = s;
	colon = strrchr(s, ':');
	if (colon) {
		*colon = '\0';
		target = colon + 1;
		published = s;
		colon = strrchr(s, ':');
		if (colon) {
			*colon = '\0';
			published = colon + 1;
			if (!port_address_ok(s, p.address))
				return false;
		}
	}
	if (!port_range_parse(target, &t) || !t.from)
		return false;
	if (published && *published && !port_range_parse(published, &h))
		return false;
	/* "8000-9000:80": docker picks one port of the range, so none is reported. */
	if (h.from && h.to - h.from != t.to - t.from) {
		if (t.from != t.to)
			return false;
		h = (struct port_span){ 0 };
	}
	for (unsigned i = t.from; i <= t.to && !skip && n < max; i++, n++) {
		ports[n] = p;
		ports[n].target = (uint16_t)i;
		ports[n].published = h.from ? (uint16_t)(h.from + (i - t.from)) : 0;
	}
	assert(n <= max);
	*ret_n = n;
	return true;
}
