/* SPDX-License-Identifier: Apache-2.0
 * compose.h - the app-compose manifest: what runs in a CVM, and the hash that attests it.
 *
 * The text made by compose_text() is what is stored, hashed, written to the guest's
 * app-compose.json and measured; nobody serialises a manifest in another way.
 */
#ifndef TEEPOD_VMM_COMPOSE_COMPOSE_H
#define TEEPOD_VMM_COMPOSE_COMPOSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/json.h"

enum {
	COMPOSE_APP_ID = 41, /* 40 hex digits and a NUL */
};

/* ------------------------------------------------------------------ canonical text */

/* The client SDKs' normalisation, in place: what the runner does not use is dropped, and an empty
 * pre-launch script. */
void compose_normalise(json_t *app_compose);

/* Compact JSON as JavaScript's JSON.stringify prints it, keys sorted its way. malloc'd, never NULL.
 */
char *compose_text(const json_t *app_compose);

/* SHA-256 of the text: the compose hash. */
void compose_hash(const char *text, char out[SHA256_HEX]);

/* @given: 40 hex digits, "0x" before them allowed; NULL: the first 40 of @hash. */
int compose_app_id(const char *given, const char *hash, char out[COMPOSE_APP_ID], struct err *e);

/* ------------------------------------------------------------------ manifests */

/* The cloud's short form of a manifest, as its clients send it in "compose_file". */
extern const struct field_table compose_file_table;

/* The manifest for a request's compose_file. With "runner" in it, it is a manifest already: checked
 * and kept as it is; else it is built from the short form, with the cloud's defaults and @name
 * (NULL: none) for an empty name. The docker compose text in it has passed compose_lint(). *ret: a
 * new reference. */
int compose_manifest(const json_t *compose_file, const char *name, json_t **ret, struct err *e);

/* manifest_version, name, runner and what the runner needs; on every field we know, its type. */
int compose_check(const json_t *app_compose, struct err *e);

#endif
