/* SPDX-License-Identifier: Apache-2.0
 * log_link.h - links to one CVM's logs that work without an API key, for a day or two.
 *
 * Clients fetch logs from the address they were given and send no credentials there, so the address itself is the right
 * to read: ?token=<expiry>.<HMAC-SHA256 of CVM and expiry>. The key of the HMAC is made anew with each process.
 */
#ifndef TEEPOD_API_LOG_LINK_H
#define TEEPOD_API_LOG_LINK_H

#include "api/api.h"

/* malloc'd. Has a query, so that clients may append "&ch=..". */
char *log_link(const struct call *c, const struct cvm_row *row);

/* Is @token a live one for the CVM @uuid? */
bool log_token_ok(const struct api *a, const char *token, const char *uuid, int64_t now_ms);

#endif
