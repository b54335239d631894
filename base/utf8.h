/* SPDX-License-Identifier: Apache-2.0
 * utf8.h - is this text, in the sense JSON and people need?
 */
#ifndef TEEPOD_BASE_UTF8_H
#define TEEPOD_BASE_UTF8_H

#include <stddef.h>

/* Length of the longest prefix of @s that is well-formed UTF-8 (no surrogates, no overlong forms); @n if all is. */
size_t utf8_prefix(const char *s, size_t n);

/* Each byte of @s that is part of no well-formed character becomes '?': foreign text, or text that was cut at a byte. */
void utf8_repair(char *s);

#endif
