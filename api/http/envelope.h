/* SPDX-License-Identifier: Apache-2.0
 * envelope.h - struct err as clients see it: status and body, for requests and for operations.
 */
#ifndef TEEPOD_API_HTTP_ENVELOPE_H
#define TEEPOD_API_HTTP_ENVELOPE_H

#include <jansson.h>

#include "api/http/caller.h"
#include "base/err.h"

/* HTTP status, 400..599. */
int envelope_status(const struct err *e);

/* New reference, never NULL. @request_id may be NULL. */
json_t *envelope_body(const struct err *e, const char *request_id);
/* The same body, as @role may see it: only operators see totals of the host. */
json_t *envelope_for(enum role role, const char *request_id, const struct err *e);

/* {"detail": text, "request_id": ..}: an error without a code of the catalogue. */
json_t *envelope_plain(const char *text, const char *request_id);

/* Seconds for the field Retry-After; 0: no such field. */
unsigned envelope_retry_after(const struct err *e);

#endif
