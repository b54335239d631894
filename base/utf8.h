/* SPDX-License-Identifier: Apache-2.0
 * utf8.h - is this text, in the sense JSON and people need?
 */
#ifndef TEEPOD_BASE_UTF8_H
#define TEEPOD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Length of the longest prefix of @s that is well-formed UTF-8 (no surrogates, no overlong forms);
 * @n if all is. */
size_t utf8_prefix(const char *s, size_t n);

/* Each byte of @s that is part of no well-formed character becomes '?': foreign text, or text that
 * was cut at a byte. */
void utf8_repair(char *s);

/* Is all of @s shown as it is: one line, without controls and characters that steer how others are
 * read? */
bool utf8_is_plain(const char *s);

/* @s with what is not plain as "\x1b" or "\u{202e}", and malformed bytes as "\xff". Tabs stay. What
 * does not fit in
 * @size bytes is cut between characters. */
void utf8_show(const char *s, char *out, size_t size);

/* The same to @f, line by line. 0 or EOF. */
int utf8_print(FILE *f, const char *text);

#endif
