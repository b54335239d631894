/* SPDX-License-Identifier: Apache-2.0
 * id.h - identifiers, digests and randomness (OpenSSL below).
 */
#ifndef TEEPOD_BASE_ID_H
#define TEEPOD_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UUID_TEXT = 37, SHA256_LEN = 32, SHA256_HEX = 65 };

/* Fill with cryptographically secure random bytes. Aborts if that is not possible. */
void id_random(void *out, size_t n);

/* A random UUID (version 4), lower case with dashes. For CVMs: clients expect this form. */
void id_uuid4(char out[UUID_TEXT]);

/* A UUID that sorts by time (version 7). For operations and requests. */
void id_uuid7(char out[UUID_TEXT]);

/* Parse 8-4-4-4-12 or 32 hex digits in either case. Writes lower case with dashes. */
bool id_uuid_parse(const char *s, char out[UUID_TEXT]);

/* Lower-case hex of @n bytes; @out holds 2n+1. */
void id_hex(const void *data, size_t n, char *out);

/* Parse exactly 2n hex digits, in either case, to n bytes. False, and @out untouched, otherwise. */
bool id_unhex(const char *s, void *out, size_t n);

/* True if @s consists of exactly @digits hex digits. */
bool id_is_hex(const char *s, size_t digits);

void id_sha256(const void *data, size_t n, uint8_t out[SHA256_LEN]);
void id_sha256_hex(const void *data, size_t n, char out[SHA256_HEX]);

/* SHA-256 of a file. Returns 0 or -errno; -ECANCELED if the job was cancelled. Blocking: for jobs
 * only. */
int id_sha256_file(const char *path, uint8_t out[SHA256_LEN]);

/* Compare in constant time. */
bool id_equal(const void *a, const void *b, size_t n);

#endif
