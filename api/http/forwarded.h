/* SPDX-License-Identifier: Apache-2.0
 * forwarded.h - the client behind a trusted proxy; see the top of forwarded.c.
 */
#ifndef TEEPOD_API_HTTP_FORWARDED_H
#define TEEPOD_API_HTTP_FORWARDED_H

#include "api/http/fields.h"
#include "api/http/peer.h"

/* The address of the client: the one that the fields name if @peer is one of the @proxies, else
 * @peer. */
struct peer_address forwarded_client(const struct fields *f, const struct peer_networks *proxies,
				     const struct peer_address *peer);

#endif
