/* SPDX-License-Identifier: Apache-2.0
 * compose_fuzz.c - a tenant's compose text and manifest: refused or taken, never a crash, and
 * canonical text is a fixed point.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/json.h"
#include "base/own.h"
#include "vmm/compose/compose.h"
#include "vmm/compose/compose_lint.h"

static void canonical(const char *text, size_t n)
{
	auto_json json_t *j = NULL, *back = NULL, *m = NULL;
	auto_free char *once = NULL, *twice = NULL;
	struct err e;

	j = json_read(text, n, &e);
	if (!j)
		return;
	if (compose_manifest(j, "fuzz", &m, &e) < 0)
		return;
	once = compose_text(m);
	back = json_read(once, strlen(once), &e);
	if (!back)
		abort();
	twice = compose_text(back);
	if (strcmp(once, twice) != 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct compose_port ports[8];
	struct err e;
	size_t n = 0;

	if (compose_lint((const char *)data, size, ports, ARRAY_SIZE(ports), &n, &e) == 0 &&
	    n > ARRAY_SIZE(ports))
		abort();
	canonical((const char *)data, size);
	return 0;
}
