/* SPDX-License-Identifier: Apache-2.0
 * authorize.h - authorization of a request: origin, credentials, role.
 */
#ifndef TEEPOD_API_HTTP_AUTHORIZE_H
#define TEEPOD_API_HTTP_AUTHORIZE_H

#include "api/http/request.h"

/* True if the request names this server (Host) and comes from one of its own pages (Origin).
 * Otherwise it is answered 421 or 403, and the result is false. Unix sockets are not checked,
 * because no web page can reach them, nor is TLS, because the browser has compared the name with
 * the certificate. A request without Host passes: it is HTTP/1.0, which no browser uses. */
bool authorize_origin(struct request *q);

/* Authenticate the client and compare its role with that of q->route. Fills q->call.caller. 0, or
 * ERR_UNAUTHENTICATED, ERR_RATE, ERR_FORBIDDEN, or an error of the authenticate callback. */
int authorize(struct request *q, struct err *e);

#endif
