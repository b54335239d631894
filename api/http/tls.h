/* SPDX-License-Identifier: Apache-2.0
 * tls.h - TLS as a filter between bytes of the wire and plain bytes. It knows no sockets.
 */
#ifndef TEEPOD_API_HTTP_TLS_H
#define TEEPOD_API_HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/err.h"

/* A new context from PEM files. @client_ca may be NULL: client certificates are not requested. The
 * error names the file. */
int tls_context(const char *cert, const char *key, const char *client_ca, bool client_required,
		SSL_CTX **ret, struct err *e);

/* Check that all certificates of the PEM file are valid now; without @all, that one of them is. The
 * error text begins with @field and @file. A file without certificates passes: tls_context()
 * refuses it. */
int tls_check_dates(const char *field, const char *file, bool all, struct err *e);

struct tls;

/* The server side of one connection. Bytes for the peer are appended to @wire. */
struct tls *tls_new(SSL_CTX *ctx, struct buf *wire);
/* NULL is fine. */
void tls_free(struct tls *t);

enum tls_result {
	TLS_MORE,   /* all bytes are used up */
	TLS_FULL,   /* @max plain bytes reached: call again with n = 0 when there is room */
	TLS_CLOSED, /* the peer has sent its close message */
	TLS_FAILED, /* not TLS, no common version, bad certificate, ...; @wire may hold an alert */
};

/* Decrypt @n bytes from the wire and append the result to @plain, up to about @max bytes in it. */
enum tls_result tls_feed(struct tls *t, const void *data, size_t n, struct buf *plain, size_t max);

/* Encrypt @n bytes. False if the connection has failed. */
bool tls_write(struct tls *t, const void *data, size_t n);

/* Send the close message. */
void tls_bye(struct tls *t);

bool tls_ready(const struct tls *t);     /* the handshake is done */
bool tls_held_back(const struct tls *t); /* bytes wait since TLS_FULL */

/* Common name of the verified client certificate into @out, and its notAfter (wall clock, ms).
 * False without a certificate, or if the name does not fit or contains a NUL. */
bool tls_peer_name(const struct tls *t, char *out, size_t size, int64_t *ret_ends_ms);

#endif
