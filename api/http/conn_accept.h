/* SPDX-License-Identifier: Apache-2.0
 * conn_accept.h - from an accepted socket to a connection.
 */
#ifndef TEEPOD_API_HTTP_CONN_ACCEPT_H
#define TEEPOD_API_HTTP_CONN_ACCEPT_H

#include "api/http/conn.h"

/* Serve the socket @fd, which is taken over and not blocking. @ctx: NULL for a plain connection.
 * The connection is closed at once if the limits do not admit it. */
void conn_accept(struct conn_pool *p, int fd, bool is_unix, SSL_CTX *ctx);

#endif
