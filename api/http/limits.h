/* SPDX-License-Identifier: Apache-2.0
 * limits.h - time-outs and sizes of the HTTP server.
 */
#ifndef TEEPOD_API_HTTP_LIMITS_H
#define TEEPOD_API_HTTP_LIMITS_H

#include <stddef.h>

/* 0 selects the default in brackets. */
struct server_limits {
	unsigned head_ms;        /* a whole request head [10000] */
	unsigned body_idle_ms;   /* between two reads of a body [30000] */
	unsigned body_ms;        /* a whole body, plus one second for each 8 KB of it [30000] */
	unsigned body_wait_ms;   /* a long body until it is parsed [60000] */
	unsigned keepalive_ms;   /* an idle connection [75000] */
	unsigned handshake_ms;   /* TLS handshake [10000] */
	unsigned write_stall_ms; /* a peer that takes too little of an answer [30000] */
	unsigned per_peer;       /* connections from one address [1024] */
	unsigned connections;    /* connections in total [4096] */
	unsigned auth_fails; /* wrong keys per minute and address that are answered 401; then 429
				[10] */
	size_t head_bytes;   /* request line and header fields, longer: 431 [16384]. The target
				may have half of it, longer: 414 */
};

/* Replace zeros by the defaults, and lower @l->connections to what RLIMIT_NOFILE allows. Raises the
 * soft limit of the process if it has to. */
void limits_complete(struct server_limits *l);

#endif
