/* SPDX-License-Identifier: Apache-2.0
 * server_tls_test.c - the HTTP server over TLS: certificates, versions, client certificates.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "api/http/tls.h"
#include "base/buf.h"
#include "base/clock.h"
#include "tests/unit/http_fixture.h"

static EVP_PKEY *make_cert(const char *cn)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	FILE *f;

	(void)X509_set_version(x, 2);
	(void)ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	(void)X509_gmtime_adj(X509_getm_notBefore(x), -60);
	(void)X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	(void)X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)cn, -1,
					 -1, 0);
	(void)X509_set_issuer_name(x, name);
	(void)X509_set_pubkey(x, key);
	assert_true(X509_sign(x, key, EVP_sha256()) > 0);
	f = fopen(http.cert, "we");
	assert_int_equal(PEM_write_X509(f, x), 1);
	(void)fclose(f);
	f = fopen(http.key, "we");
	assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
	(void)fclose(f);
	X509_free(x);
	return key;
}

static unsigned listen_tls(bool client_ca, bool required)
{
	struct listen_spec spec = { .address = "127.0.0.1:0",
				    .tls_cert = http.cert,
				    .tls_key = http.key,
				    .tls_client_ca = client_ca ? http.cert : NULL,
				    .tls_client_required = required };
	char bound[256];
	struct err e;

	assert_int_equal(server_listen(http.s, &spec, bound, &e), 0);
	return (unsigned)strtoul(strrchr(bound, ':') + 1, NULL, 10);
}

static bool tls_wants_io(SSL *ssl, int r)
{
	int why = SSL_get_error(ssl, r);

	return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

/* Send a request over TLS and append the answer to @b. False if the connection failed. */
static bool tls_exchange(unsigned port, SSL_CTX *ctx, const char *request, struct buf *b,
			 char *cert_cn)
{
	int fd = http_dial(port), r = 0;
	SSL *ssl = SSL_new(ctx);
	int64_t end = clock_mono_ms() + 5000;
	bool sent = false, ok = true;

	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	(void)SSL_set_fd(ssl, fd);
	SSL_set_connect_state(ssl);
	while (clock_mono_ms() < end && !(b->len && strstr(b->data, "\r\n\r\n"))) {
		(void)uv_run(&http.loop, UV_RUN_NOWAIT);
		if (!sent)
			r = SSL_write(ssl, request, (int)strlen(request));
		sent |= r > 0;
		if (sent) {
			r = SSL_read(ssl, buf_reserve(b, 16384), 16384);
			b->len += r > 0 ? (size_t)r : 0;
			buf_add(b, "", 0);
		}
		ok = r > 0 || tls_wants_io(ssl, r);
		if (!ok)
			break;
	}
	if (ok && cert_cn)
		(void)X509_NAME_get_text_by_NID(
			X509_get_subject_name(SSL_get0_peer_certificate(ssl)), NID_commonName,
			cert_cn, 64);
	SSL_free(ssl);
	(void)close(fd);
	return ok && b->len;
}

static void tls_answers_and_reloads_its_certificate(void **st)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method()), *fresh = NULL;
	auto_buf struct buf a = { 0 }, b = { 0 };
	char cn[64] = "";
	unsigned port;
	struct err e;

	(void)st;
	http_start(NULL);
	EVP_PKEY_free(make_cert("one"));
	port = listen_tls(false, false);
	assert_true(tls_exchange(port, ctx, GET("/echo"), &a, cn));
	assert_status(a.data, 200);
	assert_has(a.data, "https://h:1");
	assert_string_equal(cn, "one");
	EVP_PKEY_free(make_cert("two"));
	assert_int_equal(tls_context(http.cert, http.key, NULL, false, &fresh, &e), 0);
	server_set_tls(http.s, fresh);
	SSL_CTX_free(fresh);
	assert_true(tls_exchange(port, ctx, GET("/echo"), &b, cn));
	assert_string_equal(cn, "two");
	(void)unlink(http.key);
	assert_int_equal(tls_context(http.cert, http.key, NULL, false, &fresh, &e), -ERR_INVALID);
	assert_has(e.text, http.key);
	SSL_CTX_free(ctx);
	http_stop();
}

static void tls_below_1_2_and_foreign_alpn_are_refused(void **st)
{
	SSL_CTX *old = SSL_CTX_new(TLS_client_method()), *h2 = SSL_CTX_new(TLS_client_method());
	auto_buf struct buf a = { 0 };
	unsigned port;

	(void)st;
	http_start(NULL);
	EVP_PKEY_free(make_cert("one"));
	port = listen_tls(false, false);
	SSL_CTX_set_security_level(old, 0);
	(void)SSL_CTX_set_min_proto_version(old, TLS1_VERSION);
	(void)SSL_CTX_set_max_proto_version(old, TLS1_1_VERSION);
	assert_false(tls_exchange(port, old, GET("/echo"), &a, NULL));
	(void)SSL_CTX_set_alpn_protos(h2, (const unsigned char *)"\x02h2", 3);
	assert_false(tls_exchange(port, h2, GET("/echo"), &a, NULL));
	(void)SSL_CTX_set_alpn_protos(h2, (const unsigned char *)"\x02h2\x08http/1.1", 12);
	assert_true(tls_exchange(port, h2, GET("/echo"), &a, NULL));
	SSL_CTX_free(old);
	SSL_CTX_free(h2);
	http_stop();
}

static void client_certificate_names_the_caller(void **st)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	auto_buf struct buf a = { 0 }, b = { 0 }, c = { 0 };
	unsigned optional, required;

	(void)st;
	http_start(NULL);
	EVP_PKEY_free(make_cert("alice"));
	optional = listen_tls(true, false);
	required = listen_tls(true, true);
	assert_true(tls_exchange(optional, ctx, GET("/read"), &a, NULL));
	assert_status(a.data, 401);
	assert_false(tls_exchange(required, ctx, GET("/echo"), &b, NULL));
	assert_int_equal(SSL_CTX_use_certificate_chain_file(ctx, http.cert), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey_file(ctx, http.key, SSL_FILETYPE_PEM), 1);
	assert_true(tls_exchange(required, ctx, GET("/read"), &c, NULL));
	assert_status(c.data, 200);
	assert_string_equal(http.seen_text, "alice");
	SSL_CTX_free(ctx);
	http_stop();
}

static void half_configured_tls_is_refused(void **st)
{
	struct err e;

	(void)st;
	http_start(NULL);
	assert_int_equal(
		server_listen(http.s,
			      &(struct listen_spec){ .address = "127.0.0.1:0", .tls_cert = "/x" },
			      NULL, &e),
		-ERR_INVALID);
	assert_string_equal(e.field, "tls_key");
	assert_int_equal(server_listen(http.s,
				       &(struct listen_spec){ .address = "127.0.0.1:0",
							      .tls_cert = "/nonexistent",
							      .tls_key = "/nonexistent" },
				       NULL, &e),
			 -ERR_INVALID);
	assert_has(e.text, "/nonexistent");
	http_stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_answers_and_reloads_its_certificate),
		cmocka_unit_test(tls_below_1_2_and_foreign_alpn_are_refused),
		cmocka_unit_test(client_certificate_names_the_caller),
		cmocka_unit_test(half_configured_tls_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
