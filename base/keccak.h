/* SPDX-License-Identifier: Apache-2.0
 * keccak.h - Keccak-256 as used by Ethereum: the sponge of SHA3-256 with the original padding
 * (0x01).
 *
 * OpenSSL has it since 3.2; Debian 12 has 3.0.
 */
#ifndef TEEPOD_BASE_KECCAK_H
#define TEEPOD_BASE_KECCAK_H

#include <stddef.h>
#include <stdint.h>

enum { KECCAK256_LEN = 32, KECCAK_PAD = 0x01, KECCAK_PAD_SHA3 = 0x06 };

void keccak256(const void *data, size_t n, uint8_t out[KECCAK256_LEN]);

/* With domain byte @pad. KECCAK_PAD_SHA3 gives SHA3-256; tests compare that with OpenSSL. */
void keccak256_padded(const void *data, size_t n, uint8_t pad, uint8_t out[KECCAK256_LEN]);

#endif
