/* SPDX-License-Identifier: Apache-2.0
 * log_link.h - links to the logs of one CVM that work without an API key for one to two days.
 *
 * Clients fetch logs from the URL they were given and send no credentials, so the URL itself grants
 * access: ?token=<expiry>.<HMAC-SHA256 of CVM, expiry and creator><creator>. The HMAC key is random
 * and made at process start. A link never grants more than its creator has now: it ends with the
 * creator's key or role, and each use counts against the rate limit of that key.
 */
#ifndef TEEPOD_API_CLOUD_LOG_LINK_H
#define TEEPOD_API_CLOUD_LOG_LINK_H

#include "api/cloud/context.h"

struct cvm_row;

/* New URL with a query, so that clients may append "&ch=...". The caller frees it. */
char *log_link(const struct call *c, const struct cvm_row *row);

/* 0 if @token opens the logs of @row; the creator of the link is the caller of @c from then on.
 * ERR_UNAUTHENTICATED; ERR_RATE if the key of the creator is at its limit. */
int log_link_open(struct call *c, const char *token, const struct cvm_row *row, struct err *e);

#endif
