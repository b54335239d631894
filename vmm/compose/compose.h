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
	COMPOSE_LINT_MAX = 256 * 1024, /* docker-compose text */
	COMPOSE_DEPTH_MAX = 32,
	COMPOSE_PORTS_MAX = 256, /* published ports reported; a range may name more */
	COMPOSE_APP_ID = 41,
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

/* ------------------------------------------------------------------ docker compose text */

struct compose_port {
	bool udp;
	char address[46];   /* "" = any */
	uint16_t published; /* 0 = left to docker */
	uint16_t target;
};

/* Check docker compose text before anything runs: YAML, a mapping with a non-empty "services"
 * mapping, without anchors, aliases, tags and duplicate keys. ERR_COMPOSE_INVALID with line:column.
 * Published ports of all services go to @ports (room for @max, may be 0); entries with variables
 * are passed over. *ret_n may be NULL. */
int compose_lint(const char *text, size_t len, struct compose_port *ports, size_t max,
		 size_t *ret_n, struct err *e);

/* One short-form "ports" entry: "80", "8080:80", "127.0.0.1:8080:80/udp", "[::1]:53:53",
 * "3000-3005:4000-4005". False if it is none; *ret_n counts what fitted in @max. */
bool compose_port_parse(const char *text, struct compose_port *ports, size_t max, size_t *ret_n);

#endif
