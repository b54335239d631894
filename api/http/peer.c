/* SPDX-License-Identifier: Apache-2.0
 * peer.c - addresses of peers in one normal form, networks, and keys for limits.
 */
#include "api/http/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/own.h"
#include "base/strings.h"

static struct peer_address peer_address_of_ipv6(const struct in6_addr *in6)
{
	struct peer_address a = { .family = IN6_IS_ADDR_V4MAPPED(in6) ? 4 : 6 };

	if (a.family == 4)
		memcpy(a.b, in6->s6_addr + 12, 4);
	else
		memcpy(a.b, in6->s6_addr, 16);
	return a;
}

struct peer_address peer_address_of(const struct sockaddr *sa)
{
	struct peer_address a = { 0 };

	if (sa->sa_family == AF_INET) {
		a.family = 4;
		memcpy(a.b, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		a = peer_address_of_ipv6(&((const struct sockaddr_in6 *)sa)->sin6_addr);
	}
	return a;
}

bool peer_address_parse(const char *text, struct peer_address *ret)
{
	struct peer_address a = { .family = 4 };
	struct in6_addr in6;

	if (inet_pton(AF_INET, text, a.b) == 1)
		*ret = a;
	else if (inet_pton(AF_INET6, text, &in6) == 1)
		*ret = peer_address_of_ipv6(&in6);
	else
		return false;
	return true;
}

struct peer_key peer_key_of(const struct peer_address *a)
{
	struct peer_key k = { .family = a->family };

	memcpy(k.b, a->b, sizeof(k.b));
	return k;
}

/* ------------------------------------------------------------------ networks */

static unsigned peer_address_bits(const struct peer_address *a)
{
	return a->family == 4 ? 32 : 128;
}

static bool peer_address_has_prefix(const struct peer_address *a, const struct peer_address *b,
				    unsigned bits)
{
	unsigned bytes = bits / 8;
	uint8_t mask = (uint8_t)(0xff00U >> bits % 8);

	return a->family == b->family && !memcmp(a->b, b->b, bytes) &&
	       (bits % 8 == 0 || ((a->b[bytes] ^ b->b[bytes]) & mask) == 0);
}

/* 1..999, or 0 if @digits is not a number without leading zeros. */
static unsigned parse_prefix_length(const char *digits)
{
	size_t n = strlen(digits);

	return n >= 1 && n <= 3 && digits[0] != '0' && strspn(digits, "0123456789") == n
		       ? (unsigned)strtoul(digits, NULL, 10)
		       : 0;
}

bool peer_network_parse(const char *text, struct peer_network *ret)
{
	const char *slash = strchr(text, '/');
	auto_free char *address = xstrndup(text, slash ? (size_t)(slash - text) : strlen(text));
	struct peer_network net;
	bool mapped;

	if (!peer_address_parse(address, &net.address))
		return false;
	mapped = net.address.family == 4 && strchr(address, ':');
	net.bits = slash    ? parse_prefix_length(slash + 1)
		   : mapped ? 128
			    : peer_address_bits(&net.address);
	if (mapped)
		net.bits = net.bits > 96 ? net.bits - 96 : 0;
	if (!net.bits || net.bits > peer_address_bits(&net.address))
		return false;
	for (unsigned bit = net.bits; bit < peer_address_bits(&net.address); bit++) {
		if (net.address.b[bit / 8] & (0x80U >> bit % 8))
			return false;
	}
	*ret = net;
	return true;
}

bool peer_is_in(const struct peer_address *a, const struct peer_networks *nets)
{
	for (size_t i = 0; i < nets->n; i++) {
		if (peer_address_has_prefix(a, &nets->v[i].address, nets->v[i].bits))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------ keys */

struct peer_key peer_key_of_uid(unsigned uid)
{
	struct peer_key k = { .family = 1 };

	memcpy(k.b, &uid, sizeof(uid));
	return k;
}

bool peer_equal(const struct peer_key *a, const struct peer_key *b)
{
	return a->family == b->family && !memcmp(a->b, b->b, sizeof(a->b));
}

uint64_t peer_hash(const struct peer_key *k, uint64_t seed)
{
	uint64_t h = seed ^ k->family;

	for (unsigned i = 0; i < sizeof(k->b); i++) {
		h = (h ^ k->b[i]) * 0x9e3779b97f4a7c15U;
		h ^= h >> 29;
	}
	return h;
}

bool peer_is_loopback(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return (ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr) >> 24) == 127;
	if (sa->sa_family == AF_INET6) {
		const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;

		return IN6_IS_ADDR_LOOPBACK(a) ||
		       (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
	}
	return false;
}

char *peer_text(const struct sockaddr *sa, char out[PEER_TEXT])
{
	char ip[INET6_ADDRSTRLEN] = "?";

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof(ip));
		(void)snprintf(out, PEER_TEXT, "%s:%u", ip, ntohs(in->sin_port));
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;

		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof(ip));
		(void)snprintf(out, PEER_TEXT, "[%s]:%u", ip, ntohs(in6->sin6_port));
	} else {
		(void)snprintf(out, PEER_TEXT, "unix");
	}
	return out;
}

char *peer_address_text(const struct peer_address *a, char out[PEER_TEXT])
{
	if (!a->family || !inet_ntop(a->family == 4 ? AF_INET : AF_INET6, a->b, out, PEER_TEXT))
		(void)snprintf(out, PEER_TEXT, "unix");
	return out;
}
