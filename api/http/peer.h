/* SPDX-License-Identifier: Apache-2.0
 * peer.h - the address of the other end of a connection.
 */
#ifndef TEEPOD_API_HTTP_PEER_H
#define TEEPOD_API_HTTP_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* An IPv4-mapped IPv6 address is stored as IPv4. The rest of @b is 0. */
struct peer_address {
	uint8_t b[16];
	uint8_t family; /* 4, 6, or 0 for a unix socket */
};

struct peer_address peer_address_of(const struct sockaddr *sa);
/* "192.0.2.1", "2001:db8::1". False, *ret untouched, if @text is not an address. */
bool peer_address_parse(const char *text, struct peer_address *ret);

/* Networks, "10.0.0.0/8", "2001:db8::/32", or single addresses. */
struct peer_network {
	struct peer_address address;
	unsigned bits; /* 1..32, 1..128 */
};
struct peer_networks {
	struct peer_network *v; /* owned */
	size_t n;
};

/* False, *ret untouched, if @text is not a network, has host bits set, or covers all addresses
 * (/0). */
bool peer_network_parse(const char *text, struct peer_network *ret);
bool peer_is_in(const struct peer_address *a, const struct peer_networks *nets);

/* The unit of limits: an IPv4 address, or the /64 of an IPv6 address, which usually belongs to one
 * customer. */
struct peer_key {
	uint8_t b[8];
	uint8_t family; /* 4, 6, or 1 for the user of a unix socket */
};

struct peer_key peer_key_of(const struct peer_address *a);
struct peer_key peer_key_of_uid(unsigned uid);
bool peer_equal(const struct peer_key *a, const struct peer_key *b);
/* @seed: random for each process, so that nobody can choose addresses that share a bucket. */
uint64_t peer_hash(const struct peer_key *k, uint64_t seed);

bool peer_is_loopback(const struct sockaddr *sa);

/* "127.0.0.1:8080", "[::1]:8080". Returns @out. */
enum { PEER_TEXT = 64 };
char *peer_text(const struct sockaddr *sa, char out[PEER_TEXT]);
/* The same without a port. */
char *peer_address_text(const struct peer_address *a, char out[PEER_TEXT]);

#endif
