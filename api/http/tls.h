/* SPDX-License-Identifier: Apache-2.0
 * tls.h - TLS as a filter between bytes from the wire and bytes of HTTP. Knows no sockets.
 */
#ifndef TEEPOD_API_HTTP_TLS_H
#define TEEPOD_API_HTTP_TLS_H

#include <stdbool.h>
#include <stddef.h>

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/err.h"

/* @client_ca may be NULL: no client certificates are asked for. All are PEM files. New context, or
 * an error that names the file. */
int tls_context(const char *cert, const char *key, const char *client_ca, bool client_required,
		SSL_CTX **ret, struct err *e);

/* Is every certificate in the PEM file valid now; without @all, one of them? The error begins with
 * @field and @file. What is no certificate is passed over: tls_context() has looked. */
int tls_check_dates(const char *field, const char *file, bool all, struct err *e);

struct tls;

/* Server side of one connection; what has to go to the peer is appended to @wire. */
struct tls *tls_new(SSL_CTX *ctx, struct buf *wire);
void tls_free(struct tls *t);

enum tls_result {
	TLS_MORE,   /* all bytes given so far are used up */
	TLS_FULL,   /* @max plain bytes reached: call again with n = 0 when there is room */
	TLS_CLOSED, /* the peer said it will send no more */
	TLS_FAILED, /* not TLS, no common version, bad certificate ...; an alert may be in the wire
		       buffer */
};

/* Take @n bytes from the wire; append what they decrypt to to @plain, up to about @max bytes in it.
 */
enum tls_result tls_feed(struct tls *t, const void *data, size_t n, struct buf *plain, size_t max);

/* Encrypt. False if the connection can not carry it any more. */
bool tls_write(struct tls *t, const void *data, size_t n);

/* Say that no more will be sent. */
void tls_bye(struct tls *t);

bool tls_ready(const struct tls *t);     /* handshake done */
bool tls_held_back(const struct tls *t); /* bytes wait since TLS_FULL */

/* Common name of the verified client certificate into @out, and its notAfter in wall clock ms.
 * False without one, or if the name does not fit or holds a NUL. */
bool tls_peer_name(const struct tls *t, char *out, size_t size, int64_t *ret_ends_ms);

#endif
