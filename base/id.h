/* SPDX-License-Identifier: Apache-2.0
 * id.h - identifiers, digests and randomness (OpenSSL below).
 */
#ifndef TEEPOD_BASE_ID_H
#define TEEPOD_BASE_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UUID_TEXT = 37, SHA256_LEN = 32, SHA256_HEX = 65 };

/* Fill with cryptographically strong random bytes; aborts if the system has none. */
void id_random(void *out, size_t n);

/* A random (version 4) UUID, lower case with dashes: what clients recognise as a CVM's id. */
void id_uuid4(char out[UUID_TEXT]);

/* A time-ordered (version 7) UUID: operations and requests sort by it. */
void id_uuid7(char out[UUID_TEXT]);

/* Accepts 8-4-4-4-12 or 32 hex digits in either case; writes the dashed lower-case form. */
bool id_uuid_parse(const char *s, char out[UUID_TEXT]);

/* Lower-case hex of @n bytes; @out holds 2n+1. */
void id_hex(const void *data, size_t n, char *out);

/* Exactly 2n hex digits (either case) -> n bytes. False, @out untouched, if @s is anything else. */
bool id_unhex(const char *s, void *out, size_t n);

/* True if @s consists of exactly @digits hex digits. */
bool id_is_hex(const char *s, size_t digits);

void id_sha256(const void *data, size_t n, uint8_t out[SHA256_LEN]);
void id_sha256_hex(const void *data, size_t n, char out[SHA256_HEX]);

/* SHA-256 of a file's bytes. 0, or -errno. Blocking: for jobs. */
int id_sha256_file(const char *path, uint8_t out[SHA256_LEN]);

/* Compare without leaking where they differ. */
bool id_equal(const void *a, const void *b, size_t n);

#endif
