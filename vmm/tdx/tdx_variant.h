/* SPDX-License-Identifier: Apache-2.0
 * tdx_variant.h - chooses how a verifier checks a TD: with its ACPI tables, or without.
 *
 * dstack's verifiers know two variants. "legacy" recomputes RTMR0 with the ACPI tables that a QEMU
 * of the same version builds. "lite" uses digests that the image contains (measurement.tdx.cbor,
 * listed in sha256sum.txt) and ignores the tables. vm_config names the second and carries both
 * files.
 */
#ifndef TEEPOD_VMM_TDX_TDX_VARIANT_H
#define TEEPOD_VMM_TDX_TDX_VARIANT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"

struct tdx_variant {
	bool lite;
	/* base64, owned; NULL if the image has no such material. The guest gets it with either
	 * variant. */
	char *checksum_file, *measurement;
};

/* [job] The rule of dstack-vmm 0.6: requirements.tdx_measure_acpi_tables of @manifest decides
 * (true: legacy, false: lite). If it is absent: lite if the image supports it, but legacy below 3
 * GiB of memory other than exactly 2 GiB. ERR_IMAGE_MISMATCH: lite is requested and the image does
 * not support it. ERR_COMPOSE_INVALID: the value is not a boolean. */
int tdx_variant_choose(const json_t *manifest, uint64_t memory_mib, const char *image_dir,
		       struct tdx_variant *ret, struct err *e);
void tdx_variant_free(struct tdx_variant *v);
#define auto_tdx_variant __attribute__((cleanup(tdx_variant_free)))

#endif
