/* SPDX-License-Identifier: Apache-2.0
 * keccak_test.c - the sponge equals that of OpenSSL, the padding that of Ethereum.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include <openssl/evp.h>

#include "base/id.h"
#include "base/keccak.h"

static void with_the_padding_of_sha3_it_is_openssls_sha3_256_at_every_length(void **st)
{
	uint8_t data[1001], ours[KECCAK256_LEN], theirs[KECCAK256_LEN];

	(void)st;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 31 + i / 7);
	for (size_t n = 0; n < sizeof(data); n++) {
		keccak256_padded(data, n, KECCAK_PAD_SHA3, ours);
		assert_int_equal(EVP_Digest(data, n, theirs, NULL, EVP_sha3_256(), NULL), 1);
		assert_memory_equal(ours, theirs, sizeof(ours));
	}
}

/* Known values: the hash of no bytes (in every empty Ethereum account) and of "abc". */
static void known_hashes(void **st)
{
	static const struct {
		const char *text, *hash;
	} known[] = {
		{ "", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470" },
		{ "abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45" },
	};

	(void)st;
	for (size_t i = 0; i < 2; i++) {
		uint8_t out[KECCAK256_LEN];
		char hex[2 * KECCAK256_LEN + 1];

		keccak256(known[i].text, strlen(known[i].text), out);
		id_hex(out, sizeof(out), hex);
		assert_string_equal(hex, known[i].hash);
	}
}

int main(void)
{
	const struct CMUnitTest t[] = {
		cmocka_unit_test(with_the_padding_of_sha3_it_is_openssls_sha3_256_at_every_length),
		cmocka_unit_test(known_hashes),
	};

	return cmocka_run_group_tests_name("keccak", t, NULL, NULL);
}
