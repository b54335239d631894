/* SPDX-License-Identifier: Apache-2.0
 * id.c - identifiers, digests and randomness.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/id.h"
#include "base/lanes.h"
#include "base/own.h"

void id_random(void *out, size_t n)
{
	assert(n <= INT_MAX);
	if (RAND_bytes(out, (int)n) == 1)
		return;
	(void)fputs("teepod: no randomness\n", stderr);
	abort();
}

static void uuid_from_hex(const char hex[33], char out[UUID_TEXT])
{
	static const size_t groups[] = { 8, 4, 4, 4, 12 };

	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		memcpy(out, hex, groups[i]);
		hex += groups[i];
		out += groups[i];
		*out++ = '-';
	}
	out[-1] = '\0';
}

/* Set version and variant in the random bytes @b (RFC 9562). */
static void uuid_from_bytes(uint8_t b[16], unsigned version, char out[UUID_TEXT])
{
	char hex[33];

	assert(version <= 15);
	b[6] = (uint8_t)((b[6] & 0x0f) | version << 4);
	b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
	id_hex(b, 16, hex);
	uuid_from_hex(hex, out);
}

void id_uuid4(char out[UUID_TEXT])
{
	uint8_t b[16];

	id_random(b, sizeof(b));
	uuid_from_bytes(b, 4, out);
}

void id_uuid7(char out[UUID_TEXT])
{
	uint64_t ms = (uint64_t)clock_wall_ms();
	uint8_t b[16];

	id_random(b, sizeof(b));
	for (unsigned i = 0; i < 6; i++)
		b[i] = (uint8_t)(ms >> (8 * (5 - i)));
	uuid_from_bytes(b, 7, out);
}

bool id_uuid_parse(const char *s, char out[UUID_TEXT])
{
	static const uint8_t dash_at[] = { 8, 13, 18, 23 };
	bool dashed = strlen(s) == 36;
	char hex[33];
	size_t n = 0;

	if (!dashed && strlen(s) != 32)
		return false;
	for (size_t i = 0; s[i]; i++) {
		if (dashed && memchr(dash_at, (int)i, sizeof(dash_at))) {
			if (s[i] != '-')
				return false;
			continue;
		}
		if (!isxdigit((unsigned char)s[i]) || n == 32)
			return false;
		hex[n++] = (char)tolower((unsigned char)s[i]);
	}
	hex[n] = 0;
	if (n != 32)
		return false;
	uuid_from_hex(hex, out);
	return true;
}

void id_hex(const void *data, size_t n, char *out)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *b = data;

	for (size_t i = 0; i < n; i++) {
		out[2 * i] = digits[b[i] >> 4];
		out[2 * i + 1] = digits[b[i] & 15];
	}
	out[2 * n] = 0;
}

bool id_is_hex(const char *s, size_t digits)
{
	size_t n = 0;

	while (n <= digits && isxdigit((unsigned char)s[n]))
		n++;
	return n == digits && !s[n];
}

static uint8_t nibble(char c)
{
	return (uint8_t)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

bool id_unhex(const char *s, void *out, size_t n)
{
	uint8_t *b = out;

	if (!id_is_hex(s, 2 * n))
		return false;
	for (size_t i = 0; i < n; i++)
		b[i] = (uint8_t)(nibble(s[2 * i]) << 4 | nibble(s[2 * i + 1]));
	return true;
}

void id_sha256(const void *data, size_t n, uint8_t out[SHA256_LEN])
{
	if (!EVP_Digest(data, n, out, NULL, EVP_sha256(), NULL))
		abort();
}

void id_sha256_hex(const void *data, size_t n, char out[SHA256_HEX])
{
	uint8_t d[SHA256_LEN];

	id_sha256(data, n, d);
	id_hex(d, sizeof(d), out);
}

static int digest_fd(int fd, EVP_MD_CTX *ctx)
{
	auto_free char *chunk = malloc(1 << 18);

	if (!chunk)
		return -ENOMEM;
	for (;;) {
		ssize_t n = read(fd, chunk, 1 << 18);

		if (job_is_cancelled())
			return -ECANCELED;
		if (n == 0)
			return 0;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!EVP_DigestUpdate(ctx, chunk, (size_t)n))
			return -EIO;
	}
}

int id_sha256_file(const char *path, uint8_t out[SHA256_LEN])
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	EVP_MD_CTX *ctx;
	int r = -EIO;

	if (fd < 0)
		return -errno;
	ctx = EVP_MD_CTX_new();
	if (ctx && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL))
		r = digest_fd(fd, ctx);
	if (!r && !EVP_DigestFinal_ex(ctx, out, NULL))
		r = -EIO;
	EVP_MD_CTX_free(ctx);
	return r;
}

bool id_equal(const void *a, const void *b, size_t n)
{
	return CRYPTO_memcmp(a, b, n) == 0;
}
