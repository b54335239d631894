/* SPDX-License-Identifier: Apache-2.0
 * compose.h - the app-compose manifest: what runs in a CVM, and the hash that attests it. Pure.
 *
 * What must hold: only compose_text() serialises a manifest. Its text is stored, hashed, written to
 * the guest's app-compose.json, and measured.
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

/* Normalise in place as the client SDKs do: remove what the runner does not use, and an empty
 * pre-launch script. */
void compose_normalise(json_t *app_compose);

/* Compact JSON as JSON.stringify of JavaScript prints it, with keys in its order. malloc'd, never
 * NULL. */
char *compose_text(const json_t *app_compose);

/* The compose hash: SHA-256 of the text. */
void compose_hash(const char *text, char out[SHA256_HEX]);

/* Write the app id: @given (40 hex digits, perhaps after "0x"), or the first 40 of @hash if @given
 * is NULL. ERR_INVALID. */
int compose_app_id(const char *given, const char *hash, char out[COMPOSE_APP_ID], struct err *e);

/* ------------------------------------------------------------------ manifests */

/* Short form of a manifest, as clients of the cloud send it in "compose_file". */
extern const struct field_table compose_file_table;

/* Make the manifest for the compose_file of a request. If it has "runner", it is a manifest
 * already: it is checked and kept as it is. Otherwise it is built from the short form, with the
 * defaults of the cloud, and with @name (NULL: none) if its name is empty. Docker compose text in
 * it has passed compose_lint(). *ret: a new reference. */
int compose_manifest(const json_t *compose_file, const char *name, json_t **ret, struct err *e);

/* Check a manifest: manifest_version, name, runner and what the runner needs, and the type of every
 * known field. */
int compose_check(const json_t *app_compose, struct err *e);

#endif
