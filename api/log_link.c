/* SPDX-License-Identifier: Apache-2.0
 * log_link.c - making and checking log links.
 */
#include "api/log_link.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/id.h"

enum { DAY_S = 24 * 60 * 60, MAC_HEX = 2 * SHA256_LEN + 1, TOKEN_TEXT = MAC_HEX + 24 };

static void sign(const struct api *a, const char *uuid, int64_t expiry_s, char out[TOKEN_TEXT])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	char what[UUID_TEXT + 32], hex[MAC_HEX];
	unsigned n = 0;

	(void)snprintf(what, sizeof(what), "logs %s %" PRId64, uuid, expiry_s);
	if (!HMAC(EVP_sha256(), a->secret, API_SECRET, (const unsigned char *)what, strlen(what), mac, &n))
		abort();
	id_hex(mac, SHA256_LEN, hex);
	(void)snprintf(out, TOKEN_TEXT, "%" PRId64 ".%s", expiry_s, hex);
}

/* The end of tomorrow: links of one day are equal, so that answers are too. */
static int64_t expiry(int64_t now_ms)
{
	return (now_ms / 1000 / DAY_S + 2) * DAY_S;
}

char *log_link(const struct call *c, const struct cvm_row *row)
{
	char token[TOKEN_TEXT];

	sign(api_of(c), row->uuid, expiry(clock_wall_ms()), token);
	return xasprintf("%s/api/v1/cvms/%s/logs?token=%s", api_base_url(c), row->uuid, token);
}

bool log_token_ok(const struct api *a, const char *token, const char *uuid, int64_t now_ms)
{
	char want[TOKEN_TEXT], *end;
	int64_t expiry_s = strtoll(token, &end, 10);

	if (*end != '.' || expiry_s <= now_ms / 1000 || expiry_s > expiry(now_ms))
		return false;
	sign(a, uuid, expiry_s, want);
	return strlen(token) == strlen(want) && id_equal(token, want, strlen(want));
}
