/* SPDX-License-Identifier: Apache-2.0
 * peer.c - addresses, normalised.
 */
#include "api/peer.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/id.h"

struct peer_key peer_key_of(const struct sockaddr *sa)
{
	struct peer_key k = { 0 };

	if (sa->sa_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)sa;

		k.family = 4;
		memcpy(k.b, &in->sin_addr, 4);
	} else if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)sa;
		bool mapped = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);

		k.family = mapped ? 4 : 6;
		memcpy(k.b, in6->sin6_addr.s6_addr + (mapped ? 12 : 0), mapped ? 4 : 8);
	}
	return k;
}

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

/* The seed is random for each process: nobody can choose addresses that share a bucket. */
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

		return IN6_IS_ADDR_LOOPBACK(a) || (IN6_IS_ADDR_V4MAPPED(a) && a->s6_addr[12] == 127);
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

struct count {
	struct count *next;
	struct peer_key key;
	unsigned n;
};

enum { BUCKETS = 512 };

struct peer_counts {
	uint64_t seed;
	struct count *bucket[BUCKETS];
};

struct peer_counts *peer_counts_new(void)
{
	struct peer_counts *p = xcalloc(1, sizeof(*p));

	id_random(&p->seed, sizeof(p->seed));
	return p;
}

void peer_counts_free(struct peer_counts *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < BUCKETS; i++) {
		while (p->bucket[i]) {
			struct count *gone = p->bucket[i];

			p->bucket[i] = gone->next;
			free(gone);
		}
	}
	free(p);
}

static struct count **find(struct peer_counts *p, const struct peer_key *k)
{
	struct count **at = &p->bucket[peer_hash(k, p->seed) % BUCKETS];

	while (*at && !peer_equal(&(*at)->key, k))
		at = &(*at)->next;
	return at;
}

bool peer_counts_add(struct peer_counts *p, const struct peer_key *k, unsigned max)
{
	struct count **at = find(p, k);

	if (!*at) {
		*at = xcalloc(1, sizeof(**at));
		(*at)->key = *k;
	} else if ((*at)->n >= max) {
		return false;
	}
	(*at)->n++;
	return true;
}

void peer_counts_drop(struct peer_counts *p, const struct peer_key *k)
{
	struct count **at = find(p, k), *c = *at;

	assert(c && c->n);
	if (--c->n)
		return;
	*at = c->next;
	free(c);
}
