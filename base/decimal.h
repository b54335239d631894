/* SPDX-License-Identifier: Apache-2.0
 * decimal.h - the shortest decimal that parses to a given double.
 */
#ifndef TEEPOD_BASE_DECIMAL_H
#define TEEPOD_BASE_DECIMAL_H

#include <stddef.h>

enum { DECIMAL_DIGITS = 18 };

/* Digits of @d, which must be finite and greater than 0: 1 to 17 digits without leading or trailing
 * zeros. Of several shortest decimals it is the one closest to @d. *exponent belongs to the first
 * digit: 0.05 gives "5" and -2. Returns the number of digits. Any thread. */
size_t decimal_shortest(double d, char out[DECIMAL_DIGITS], int *exponent);

#endif
