/* SPDX-License-Identifier: Apache-2.0
 * log_link.h - links to one CVM's logs that work without an API key, for a day or two.
 *
 * Clients fetch logs from the address they were given and send no credentials there, so the address
 * itself is the right to read: ?token=<expiry>.<HMAC-SHA256 of CVM, expiry and maker><maker>. The
 * key of the HMAC is made anew with each process. A link is its maker's right lent out: it opens
 * what the maker may see by now, it ends with the maker's key or role, and each use counts against
 * the limit of that key.
 */
#ifndef TEEPOD_API_CLOUD_LOG_LINK_H
#define TEEPOD_API_CLOUD_LOG_LINK_H

#include "api/cloud/context.h"

struct cvm_row;

/* malloc'd. Has a query, so that clients may append "&ch=..". */
char *log_link(const struct call *c, const struct cvm_row *row);

/* Does @token open the logs of @row? If so the call's caller is the link's maker from now on.
 * ERR_UNAUTHENTICATED; ERR_RATE if the maker's key has no request left. */
int log_link_open(struct call *c, const char *token, const struct cvm_row *row, struct err *e);

#endif
