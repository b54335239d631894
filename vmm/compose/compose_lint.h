/* SPDX-License-Identifier: Apache-2.0
 * compose_lint.h - checks docker compose text before a CVM is made for it. Pure.
 */
#ifndef TEEPOD_VMM_COMPOSE_COMPOSE_LINT_H
#define TEEPOD_VMM_COMPOSE_COMPOSE_LINT_H

#include <stddef.h>

#include "base/err.h"
#include "vmm/compose/compose_port.h"

enum {
	COMPOSE_LINT_MAX = 256 * 1024, /* bytes of docker compose text */
	COMPOSE_DEPTH_MAX = 32,        /* levels of mappings and sequences */
};

/* Check that @text is YAML: one mapping with a non-empty mapping "services", without anchors,
 * aliases, tags and duplicate keys. ERR_COMPOSE_INVALID names line:column.
 *
 * The published ports of all services are written to @ports, which has room for @max (may be 0);
 * further ones are left out. Entries that contain variables are skipped. *ret_n (may be NULL):
 * number of ports written. */
int compose_lint(const char *text, size_t len, struct compose_port *ports, size_t max,
		 size_t *ret_n, struct err *e);

#endif
