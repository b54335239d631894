/* SPDX-License-Identifier: Apache-2.0
 * conn_limit.h - limits of connections, and eviction of connections for new ones.
 */
#ifndef TEEPOD_API_HTTP_CONN_LIMIT_H
#define TEEPOD_API_HTTP_CONN_LIMIT_H

#include "api/http/conn.h"

/* Admit a new connection, whose peer is known, if the limits allow it. May close others for it.
 * conn_destroy() undoes it. */
bool conn_limit_admit(struct conn *c);

/* Close the connection that has waited the longest without a key, to free its descriptor. False if
 * there is none. */
bool conn_limit_evict_keyless(struct conn_pool *p);

#endif
