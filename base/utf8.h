/* SPDX-License-Identifier: Apache-2.0
 * utf8.h - is this text, in the sense JSON and people need?
 */
#ifndef TEEPOD_BASE_UTF8_H
#define TEEPOD_BASE_UTF8_H

#include <stddef.h>

/* Length of the longest prefix of @s that is well-formed UTF-8 (no surrogates, no overlong forms); @n if all is. */
size_t utf8_prefix(const char *s, size_t n);

#endif
