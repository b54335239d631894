/* SPDX-License-Identifier: Apache-2.0
 * tls.c - TLS between two buffers, by OpenSSL.
 *
 * Instead of memory BIOs there is a BIO of our own. It reads from the bytes that the loop has just
 * received and writes into the output buffer of the connection. This saves a copy in each
 * direction, and the two buffers that memory BIOs keep at their largest size as long as the
 * connection lives. Bytes are copied ("held") only if the buffer for plain text is full.
 *
 * Session tickets and the session cache are off. A resumed session would use a client certificate
 * without checking it again, and clients of an API keep their connections anyway.
 *
 * The error queue of OpenSSL belongs to the thread, so it is cleared before each call.
 */
#include "api/http/tls.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/alloc.h"
#include "base/buf.h"

struct tls {
	SSL *ssl;
	struct buf *wire;
	const char *slice; /* borrowed while tls_feed() runs */
	size_t slice_n;
	struct buf held; /* bytes from the wire that did not fit */
	bool failed;
};

/* ------------------------------------------------------------------ BIO */

static int bio_read(BIO *b, char *out, int size)
{
	struct tls *t = BIO_get_data(b);
	size_t n = t->slice_n < (size_t)size ? t->slice_n : (size_t)size;

	BIO_clear_retry_flags(b);
	if (n == 0) {
		BIO_set_retry_read(b);
		return -1;
	}
	memcpy(out, t->slice, n);
	t->slice += n;
	t->slice_n -= n;
	return (int)n;
}

static int bio_write(BIO *b, const char *data, int n)
{
	struct tls *t = BIO_get_data(b);

	BIO_clear_retry_flags(b);
	buf_add(t->wire, data, (size_t)n);
	return n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	(void)b;
	(void)num;
	(void)ptr;
	return cmd == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *b)
{
	BIO_set_init(b, 1);
	return 1;
}

static BIO_METHOD *bio_method(void)
{
	static BIO_METHOD *m;

	if (m)
		return m;
	m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "slice");
	if (!m || !BIO_meth_set_read(m, bio_read) || !BIO_meth_set_write(m, bio_write) ||
	    !BIO_meth_set_ctrl(m, bio_ctrl) || !BIO_meth_set_create(m, bio_create))
		abort();
	return m;
}

/* ------------------------------------------------------------------ context */

static int tls_file_error(struct err *e, const char *field, const char *file)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	if (ERR_SYSTEM_ERROR(code))
		reason = strerrordesc_np(ERR_GET_REASON(code));
	else if (ERR_GET_LIB(ERR_peek_error()) == ERR_LIB_PEM)
		reason = "not a PEM file, or not of this kind";
	return err_field(e, ERR_INVALID, field, file, "%s %s: %s", field, file,
			 reason ? reason : "unusable");
}

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
		       const unsigned char *in, unsigned in_n, void *arg)
{
	static const unsigned char ours[] = "\x08http/1.1";

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_n, ours, sizeof(ours) - 1,
				  in, in_n) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* A wrong key of the same algorithm fails when it is loaded, one of another algorithm when it is
 * checked. */
static int tls_load_key(SSL_CTX *ctx, const char *cert, const char *key, struct err *e)
{
	bool loaded = SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1;

	if (loaded && SSL_CTX_check_private_key(ctx) == 1)
		return 0;
	if (loaded || (ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509 &&
		       ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH))
		return err_field(e, ERR_INVALID, "tls_key", key,
				 "tls_key %s: not the key of the certificate in tls_cert, %s", key,
				 cert);
	return tls_file_error(e, "tls_key", key);
}

static int tls_load_pair(SSL_CTX *ctx, const char *cert, const char *key, struct err *e)
{
	if (SSL_CTX_use_certificate_chain_file(ctx, cert) != 1)
		return tls_file_error(e, "tls_cert", cert);
	return tls_load_key(ctx, cert, key, e);
}

static int tls_load_client_ca(SSL_CTX *ctx, const char *file, bool required, struct err *e)
{
	STACK_OF(X509_NAME) * names;

	if (SSL_CTX_load_verify_file(ctx, file) != 1)
		return tls_file_error(e, "tls_client_ca", file);
	names = SSL_load_client_CA_file(file);
	if (!names)
		return tls_file_error(e, "tls_client_ca", file);
	SSL_CTX_set_client_CA_list(ctx, names);
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
			   NULL);
	return 0;
}

static int tls_load_files(SSL_CTX *ctx, const char *cert, const char *key, const char *client_ca,
			  bool required, struct err *e)
{
	int r = tls_load_pair(ctx, cert, key, e);

	return r == 0 && client_ca ? tls_load_client_ca(ctx, client_ca, required, e) : r;
}

/* Cipher suites of TLS 1.2: only those with ephemeral keys and authenticated encryption, as RFC
 * 9325 section 4.2 recommends. The default of OpenSSL adds CBC suites and RSA key exchange. All
 * suites of TLS 1.3 fulfil this. */
static const char ciphers_1_2[] = "ECDHE+AESGCM:ECDHE+CHACHA20:!PSK:!aNULL:@SECLEVEL=2";

int tls_context(const char *cert, const char *key, const char *client_ca, bool client_required,
		SSL_CTX **ret, struct err *e)
{
	SSL_CTX *ctx;
	int r;

	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_server_method());
	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1)
		abort();
	if (SSL_CTX_set_cipher_list(ctx, ciphers_1_2) != 1)
		abort();
	SSL_CTX_set_options(ctx,
			    SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
	SSL_CTX_set_num_tickets(ctx, 0);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, NULL);
	r = tls_load_files(ctx, cert, key, client_ca, client_required, e);
	ERR_clear_error();
	if (r < 0) {
		SSL_CTX_free(ctx);
		return r;
	}
	*ret = ctx;
	return 0;
}

/* ------------------------------------------------------------------ dates */

static int tls_date_error(struct err *e, const char *field, const char *file, const X509 *x)
{
	bool early = X509_cmp_current_time(X509_get0_notBefore(x)) > 0;
	const ASN1_TIME *at = early ? X509_get0_notBefore(x) : X509_get0_notAfter(x);
	char name[128] = "", date[40] = "";
	struct tm tm;

	(void)X509_NAME_oneline(X509_get_subject_name(x), name, sizeof(name));
	if (ASN1_TIME_to_tm(at, &tm) == 1)
		(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return err_field(e, ERR_INVALID, field, file, "%s %s: the certificate %s %s %s", field,
			 file, name, early ? "is not valid before" : "has expired on", date);
}

static bool x509_is_valid_now(const X509 *x)
{
	return X509_cmp_current_time(X509_get0_notBefore(x)) < 0 &&
	       X509_cmp_current_time(X509_get0_notAfter(x)) > 0;
}

int tls_check_dates(const char *field, const char *file, bool all, struct err *e)
{
	BIO *b = BIO_new_file(file, "r");
	unsigned good = 0;
	int r = 0;

	for (X509 *x; b && (!r || !all) && (x = PEM_read_bio_X509(b, NULL, NULL, NULL));
	     X509_free(x)) {
		if (x509_is_valid_now(x))
			good++;
		else
			r = tls_date_error(e, field, file, x);
	}
	BIO_free(b);
	ERR_clear_error();
	return !all && good ? 0 : r;
}

/* ------------------------------------------------------------------ connection */

struct tls *tls_new(SSL_CTX *ctx, struct buf *wire)
{
	struct tls *t = xcalloc(1, sizeof(*t));
	BIO *bio = BIO_new(bio_method());

	t->wire = wire;
	t->ssl = SSL_new(ctx);
	if (!bio || !t->ssl)
		abort();
	BIO_set_data(bio, t);
	SSL_set_bio(t->ssl, bio, bio);
	SSL_set_accept_state(t->ssl);
	return t;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	SSL_free(t->ssl);
	buf_free(&t->held);
	free(t);
}

static enum tls_result tls_result_of(struct tls *t, int r)
{
	switch (SSL_get_error(t->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return TLS_MORE;
	case SSL_ERROR_ZERO_RETURN:
		return TLS_CLOSED;
	default:
		t->failed = true;
		return TLS_FAILED;
	}
}

/* Decrypt until the input is used up or @plain has @max bytes. */
static enum tls_result tls_decrypt(struct tls *t, struct buf *plain, size_t max)
{
	char record[SSL3_RT_MAX_PLAIN_LENGTH];

	while (plain->len < max) {
		int r;

		ERR_clear_error();
		r = SSL_read(t->ssl, record, sizeof(record));
		if (r <= 0)
			return tls_result_of(t, r);
		buf_add(plain, record, (size_t)r);
	}
	return TLS_FULL;
}

enum tls_result tls_feed(struct tls *t, const void *data, size_t n, struct buf *plain, size_t max)
{
	bool from_held = t->held.len > 0;
	enum tls_result r;

	if (t->failed)
		return TLS_FAILED;
	if (from_held)
		buf_add(&t->held, data, n);
	assert(!t->slice);
	t->slice = from_held ? t->held.data : data;
	t->slice_n = from_held ? t->held.len : n;
	r = tls_decrypt(t, plain, max);
	if (from_held)
		buf_drop(&t->held, t->held.len - t->slice_n);
	else if (t->slice_n)
		buf_add(&t->held, t->slice, t->slice_n);
	if (t->held.len == 0)
		buf_free(&t->held);
	t->slice = NULL;
	t->slice_n = 0;
	return r;
}

bool tls_write(struct tls *t, const void *data, size_t n)
{
	const char *at = data;

	while (n) {
		int part = n < INT_MAX ? (int)n : INT_MAX, r;

		ERR_clear_error();
		r = t->failed ? 0 : SSL_write(t->ssl, at, part);
		if (r <= 0) {
			t->failed = true;
			return false;
		}
		at += r;
		n -= (size_t)r;
	}
	return true;
}

void tls_bye(struct tls *t)
{
	ERR_clear_error();
	if (!t->failed && SSL_is_init_finished(t->ssl))
		(void)SSL_shutdown(t->ssl);
}

bool tls_ready(const struct tls *t)
{
	return SSL_is_init_finished(t->ssl);
}

bool tls_held_back(const struct tls *t)
{
	return t->held.len > 0 || SSL_pending(t->ssl) > 0;
}

static bool x509_common_name(X509 *cert, char *out, size_t size)
{
	X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	unsigned char *text = NULL;
	bool ok;
	int n;

	if (at < 0)
		return false;
	n = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
	if (n < 0)
		return false;
	ok = n > 0 && (size_t)n < size && !memchr(text, 0, (size_t)n);
	if (ok) {
		memcpy(out, text, (size_t)n);
		out[n] = '\0';
	}
	OPENSSL_free(text);
	return ok;
}

bool tls_peer_name(const struct tls *t, char *out, size_t size, int64_t *ret_ends_ms)
{
	X509 *cert = SSL_get0_peer_certificate(t->ssl);
	struct tm end;

	if (!cert || SSL_get_verify_result(t->ssl) != X509_V_OK ||
	    !ASN1_TIME_to_tm(X509_get0_notAfter(cert), &end) || !x509_common_name(cert, out, size))
		return false;
	*ret_ends_ms = (int64_t)timegm(&end) * 1000;
	return true;
}
