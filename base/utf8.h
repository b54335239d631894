/* SPDX-License-Identifier: Apache-2.0
 * utf8.h - checks of UTF-8 text, and display of untrusted text.
 */
#ifndef TEEPOD_BASE_UTF8_H
#define TEEPOD_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Length of the longest prefix of @s that is valid UTF-8 (no surrogates, no overlong forms). */
size_t utf8_prefix(const char *s, size_t n);

/* Replace each byte of @s that is not part of a valid character with '?'. */
void utf8_repair(char *s);

/* True if @s is one line of valid UTF-8 without control and invisible characters. */
bool utf8_is_plain(const char *s);

/* Copy @s with escapes for characters that are not plain ("\x1b", "\u{202e}") and for invalid bytes
 * ("\xff"). Tabs are kept. Cut between characters to fit into @size bytes. */
void utf8_show(const char *s, char *out, size_t size);

/* Print @text to @f in this form, with its line breaks. 0 or EOF. */
int utf8_print(FILE *f, const char *text);

#endif
