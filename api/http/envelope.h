/* SPDX-License-Identifier: Apache-2.0
 * envelope.h - struct err as clients see it. A failed operation shows the same body as a failed
 * request.
 */
#ifndef TEEPOD_API_HTTP_ENVELOPE_H
#define TEEPOD_API_HTTP_ENVELOPE_H

#include <jansson.h>

#include "api/http/caller.h"
#include "base/err.h"

int envelope_status(const struct err *e);

/* New reference, never NULL. @request_id may be NULL. */
json_t *envelope_body(const struct err *e, const char *request_id);
/* The same body, as @role may see it: only operators see totals of the host. */
json_t *envelope_for(enum role role, const char *request_id, const struct err *e);

/* {"detail": text, "request_id": ..}: for what the catalogue has no code for. */
json_t *envelope_plain(const char *text, const char *request_id);

/* Seconds for Retry-After, 0 for none. */
unsigned envelope_retry_after(const struct err *e);

#endif
