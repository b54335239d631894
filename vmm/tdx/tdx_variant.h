/* SPDX-License-Identifier: Apache-2.0
 * tdx_variant.h - which way a verifier goes about a TD: by its ACPI tables, or without them.
 *
 * dstack's verifiers know two: "legacy" recomputes RTMR0 with the ACPI tables that a QEMU of the
 * same version makes; "lite" goes by digests that the image brings (measurement.tdx.cbor, listed in
 * sha256sum.txt) and leaves the tables out. vm_config names the second and carries both files.
 */
#ifndef TEEPOD_VMM_TDX_TDX_VARIANT_H
#define TEEPOD_VMM_TDX_TDX_VARIANT_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"

struct tdx_variant {
	bool lite;
	/* base64, owned; NULL where the image has no such material. Given to the guest with either
	 * variant. */
	char *checksum_file, *measurement;
};

/* [job] The rule of dstack-vmm 0.6: requirements.tdx_measure_acpi_tables of @manifest decides
 * (true: legacy, false: lite); where it says nothing, lite if the image can, but legacy below 3 GiB
 * of memory other than exactly 2 GiB. ERR_IMAGE_MISMATCH when lite is asked for and the image can
 * not; ERR_COMPOSE_INVALID when it is asked for in another type. */
int tdx_variant_choose(const json_t *manifest, uint64_t memory_mib, const char *image_dir,
		       struct tdx_variant *ret, struct err *e);
void tdx_variant_free(struct tdx_variant *v);
#define auto_tdx_variant __attribute__((cleanup(tdx_variant_free)))

#endif
