/* SPDX-License-Identifier: Apache-2.0
 * keccak.c - the Keccak-f[1600] sponge with 1088 bits of rate (FIPS 202, sections 3 and 4).
 *
 * Lanes are numbered x + 5y. Rotation offsets and round constants are computed by the recurrences
 * of FIPS 202, because a typing error in a list would be hard to see.
 */
#include "base/keccak.h"

#include <string.h>

enum { LANES = 25, ROUNDS = 24, RATE = 136 };

static uint64_t rotate_left(uint64_t v, unsigned n)
{
	return n ? v << n | v >> (64 - n) : v;
}

static void theta(uint64_t a[LANES])
{
	uint64_t c[5];

	for (int x = 0; x < 5; x++)
		c[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
	for (int i = 0; i < LANES; i++)
		a[i] ^= c[(i % 5 + 4) % 5] ^ rotate_left(c[(i % 5 + 1) % 5], 1);
}

/* From lane (1, 0) visit all others but (0, 0); step t rotates by the t-th triangular number. */
static void rho_pi(uint64_t a[LANES])
{
	uint64_t moving = a[1];
	int x = 1, y = 0;

	for (unsigned t = 1; t <= 24; t++) {
		int next_y = (2 * x + 3 * y) % 5;
		uint64_t there;

		x = y;
		y = next_y;
		there = a[x + 5 * y];
		a[x + 5 * y] = rotate_left(moving, t * (t + 1) / 2 % 64);
		moving = there;
	}
}

static void chi(uint64_t a[LANES])
{
	for (int y = 0; y < LANES; y += 5) {
		uint64_t row[5];

		memcpy(row, a + y, sizeof(row));
		for (int x = 0; x < 5; x++)
			a[y + x] = row[x] ^ (~row[(x + 1) % 5] & row[(x + 2) % 5]);
	}
}

/* One bit of the LFSR x^8 + x^6 + x^5 + x^4 + 1 for each bit 2^j - 1 of a round constant. */
static uint64_t iota(uint8_t *lfsr)
{
	uint64_t constant = 0;

	for (unsigned j = 0; j < 7; j++) {
		if (*lfsr & 1)
			constant |= (uint64_t)1 << ((1U << j) - 1);
		*lfsr = (uint8_t)(*lfsr & 0x80 ? *lfsr << 1 ^ 0x71 : *lfsr << 1);
	}
	return constant;
}

static void permute(uint64_t a[LANES])
{
	uint8_t lfsr = 1;

	for (int round = 0; round < ROUNDS; round++) {
		theta(a);
		rho_pi(a);
		chi(a);
		a[0] ^= iota(&lfsr);
	}
}

/* Lanes are little-endian on every host. */
static void absorb(uint64_t a[LANES], const uint8_t block[RATE])
{
	for (int i = 0; i < RATE; i++)
		a[i / 8] ^= (uint64_t)block[i] << (8 * (i % 8));
	permute(a);
}

void keccak256_padded(const void *data, size_t n, uint8_t pad, uint8_t out[KECCAK256_LEN])
{
	const uint8_t *p = data;
	uint64_t a[LANES] = { 0 };
	uint8_t last[RATE] = { 0 };

	for (; n >= RATE; n -= RATE, p += RATE)
		absorb(a, p);
	if (n)
		memcpy(last, p, n);
	last[n] = pad;
	last[RATE - 1] |= 0x80;
	absorb(a, last);
	for (int i = 0; i < KECCAK256_LEN; i++)
		out[i] = (uint8_t)(a[i / 8] >> (8 * (i % 8)));
}

void keccak256(const void *data, size_t n, uint8_t out[KECCAK256_LEN])
{
	keccak256_padded(data, n, KECCAK_PAD, out);
}
