/* SPDX-License-Identifier: Apache-2.0
 * tdvf_fuzz.c - files of an image that are measured: firmware and kernel, whatever they hold, are
 * measured or refused.
 *
 * The input is the end of a firmware file of 64 KiB, where its tables are, and at once a kernel.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/own.h"
#include "vmm/tdx/firmware.h"
#include "vmm/tdx/rtmr.h"
#include "vmm/tdx/tdvf.h"

enum { ROM = 65536 };

/* Refusing leaves the output alone and says why. */
static void check(int r, const uint8_t out[SHA384_LEN], const struct err *e)
{
	static const uint8_t untouched[SHA384_LEN];

	if (r && (memcmp(out, untouched, SHA384_LEN) != 0 || !e->text[0] || r != -(int)e->code))
		abort();
}

static void firmware(const uint8_t *data, size_t size)
{
	size_t n = (size + ROM - 1) / ROM * ROM;
	auto_free uint8_t *rom = xcalloc(n ? n : 1, 1);
	uint8_t mrtd[SHA384_LEN] = { 0 };
	struct firmware_ways w;
	struct err e = { 0 };

	if (size)
		memcpy(rom + n - size, data, size);
	check(tdvf_mrtd(rom, n, mrtd, &e), mrtd, &e);
	(void)firmware_ways(rom, n, &w);
}

static void kernel(const uint8_t *data, size_t size)
{
	auto_free uint8_t *copy = xmalloc(size ? size : 1);
	uint8_t digest[SHA384_LEN] = { 0 };
	struct err e = { 0 };

	if (size)
		memcpy(copy, data, size);
	check(pe_digest(copy, size, digest, &e), digest, &e);
	if (size > 16)
		(void)kernel_header_patch(copy, size, copy[0] * 65536U, copy[1] * 64U, &e);
	memset(digest, 0, sizeof(digest));
	check(pe_digest(copy, size, digest, &e), digest, &e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	firmware(data, size);
	kernel(data, size);
	return 0;
}
