/* SPDX-License-Identifier: Apache-2.0
 * firmware.h - detects how a firmware file starts a kernel. Pure.
 *
 * The measurement of a kernel depends on how the firmware reads it from QEMU, which has changed in
 * edk2 (QemuKernelLoaderFsDxe and GenericQemuLoadImageLib). The code is in a firmware volume that
 * is compressed with LZMA; its texts distinguish the versions. MRTD covers the same bytes, so a
 * verifier can trust the result.
 */
#ifndef TEEPOD_VMM_TDX_FIRMWARE_H
#define TEEPOD_VMM_TDX_FIRMWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/tdx/rtmr.h"

struct firmware_ways {
	enum initrd_word initrd_word; /* where it inserts "initrd=initrd" */
	/* It reads "etc/boot/kernel", the unchanged kernel file, which QEMU offers from 10.0 on,
	 * instead of the old fw_cfg items, whose setup header QEMU before 10.2 changes. */
	bool named_blobs;
};

/* Pure. False if this is no edk2 that starts a kernel from QEMU's fw_cfg. */
bool firmware_ways(const uint8_t *firmware, size_t n, struct firmware_ways *ret);

#endif
