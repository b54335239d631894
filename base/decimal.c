/* SPDX-License-Identifier: Apache-2.0
 * decimal.c - the shortest decimal that reads back as a given double.
 *
 * The algorithm is Schubfach (Raffaello Giulietti, "The Schubfach way to render doubles", 2020):
 * three multiplications of 128 by 64 bits select one of at most four candidates exactly. Trying
 * printf() with growing precision takes a hundred times as long for 1.2345678901234567e-250, and
 * clients choose the numbers.
 *
 * It needs 10^k for k from -292 to 324, each rounded up to 128 significant bits. They are computed
 * at the first use: positive powers as exact products, negative ones by dividing a large power of
 * two.
 */
#include "base/decimal.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { POWER_MIN = -292, POWER_MAX = 324, LIMBS = 44, FRACTION_BITS = 52, BIAS = 1075 };

__extension__ typedef unsigned __int128 uint128;

static uint128 power[POWER_MAX - POWER_MIN + 1];

/* ------------------------------------------------------------------ powers of ten */

/* A number of 32 bits a limb, least significant first. */
struct big {
	uint32_t limb[LIMBS];
};

static void multiply_by_10(struct big *b)
{
	uint64_t carry = 0;

	for (int i = 0; i < LIMBS; i++) {
		carry += (uint64_t)b->limb[i] * 10;
		b->limb[i] = (uint32_t)carry;
		carry >>= 32;
	}
	assert(!carry);
}

static void divide_by_10(struct big *b)
{
	uint64_t rest = 0;

	for (int i = LIMBS - 1; i >= 0; i--) {
		rest = rest << 32 | b->limb[i];
		b->limb[i] = (uint32_t)(rest / 10);
		rest %= 10;
	}
}

static bool bit(const struct big *b, int n)
{
	return n >= 0 && (b->limb[n / 32] >> (n % 32) & 1);
}

/* The highest 128 bits, rounded up if lower bits are set or @more is. */
static uint128 top(const struct big *b, bool more)
{
	int high = LIMBS * 32 - 1;
	uint128 v = 0;

	while (!bit(b, high))
		high--;
	for (int i = 0; i < 128; i++)
		v = v << 1 | bit(b, high - i);
	for (int i = high - 128; i >= 0 && !more; i--)
		more = bit(b, i);
	return v + more;
}

static void make_powers(void)
{
	struct big up = { { 1 } }, down = { { 0 } };

	down.limb[LIMBS - 1] = 1;
	for (int k = 0; k <= POWER_MAX; k++, multiply_by_10(&up))
		power[k - POWER_MIN] = top(&up, false);
	for (int k = -1; k >= POWER_MIN; k--) {
		divide_by_10(&down);
		power[k - POWER_MIN] = top(&down, true);
	}
}

/* ------------------------------------------------------------------ one double */

/* The highest 64 bits of @g * @c. The lowest of them is also set if the rest is larger than the
 * rounding error of @g. */
static uint64_t round_to_odd(uint128 g, uint64_t c)
{
	uint128 low = (uint128)(uint64_t)g * c;
	uint128 high = (uint128)(uint64_t)(g >> 64) * c + (low >> 64);

	return (uint64_t)(high >> 64) | ((uint64_t)high > 1);
}

/* floor(log10(2^q)), or of 3/4 of it; and floor(log2(10^k)). */
static int log10_of_power_of_2(int q, bool three_quarters)
{
	return (q * 1262611 - (three_quarters ? 524031 : 0)) >> 22;
}

static int log2_of_power_of_10(int k)
{
	return (k * 1741647) >> 19;
}

/* @c * 2^@q as *ret * 10^(result). @closer: the next smaller double is only half as far away as the
 * next greater one. */
static int shortest(uint64_t c, int q, bool closer, uint64_t *ret)
{
	int k = log10_of_power_of_2(q, closer);
	int shift = q + log2_of_power_of_10(-k) + 1;
	uint128 g = power[-k - POWER_MIN];
	/* Four times the bounds of the interval that parses to the number, and the number. */
	uint64_t lower = round_to_odd(g, (4 * c - 2 + closer) << shift) + (c & 1);
	uint64_t upper = round_to_odd(g, (4 * c + 2) << shift) - (c & 1);
	uint64_t exact = round_to_odd(g, 4 * c << shift), s = exact / 4, tens = s / 10 * 10;
	bool below = lower <= 4 * tens, above = 4 * tens + 40 <= upper;

	if (s >= 10 && below != above) {
		*ret = tens / 10 + above;
		return k + 1;
	}
	below = lower <= 4 * s;
	above = 4 * s + 4 <= upper;
	if (below != above)
		*ret = s + above;
	else
		*ret = s + (exact > 4 * s + 2 || (exact == 4 * s + 2 && (s & 1)));
	return k;
}

static size_t write_digits(uint64_t v, char out[DECIMAL_DIGITS])
{
	char reversed[20];
	size_t n = 0;

	for (; v; v /= 10)
		reversed[n++] = (char)('0' + v % 10);
	assert(n < DECIMAL_DIGITS);
	for (size_t i = 0; i < n; i++)
		out[i] = reversed[n - 1 - i];
	out[n] = '\0';
	return n;
}

size_t decimal_shortest(double d, char out[DECIMAL_DIGITS], int *exponent)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	uint64_t bits, fraction, v;
	int e, k;
	size_t n;

	assert(isfinite(d) && d > 0);
	(void)pthread_once(&once, make_powers);
	memcpy(&bits, &d, sizeof(bits));
	fraction = bits & (((uint64_t)1 << FRACTION_BITS) - 1);
	e = (int)(bits >> FRACTION_BITS);
	if (e)
		k = shortest(fraction | (uint64_t)1 << FRACTION_BITS, e - BIAS, !fraction && e > 1,
			     &v);
	else
		k = shortest(fraction, 1 - BIAS, false, &v);
	n = write_digits(v, out);
	*exponent = k + (int)n - 1;
	while (n > 1 && out[n - 1] == '0')
		out[--n] = '\0';
	return n;
}
