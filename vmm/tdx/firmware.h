/* SPDX-License-Identifier: Apache-2.0
 * firmware.h - which of edk2's ways a firmware file has, read from the file itself.
 *
 * What is measured of a kernel depends on how the firmware takes it from QEMU, and that has changed
 * (edk2, QemuKernelLoaderFsDxe and GenericQemuLoadImageLib). The code is in a firmware volume
 * compressed with LZMA; its texts tell the versions apart. MRTD pins the same bytes, so a verifier
 * can trust what is read from them.
 */
#ifndef TEEPOD_VMM_TDX_FIRMWARE_H
#define TEEPOD_VMM_TDX_FIRMWARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/tdx/rtmr.h"

struct firmware_ways {
	enum initrd_word initrd_word; /* where it puts "initrd=initrd" */
	/* It takes "etc/boot/kernel", the kernel's file as it is, which QEMU offers from 10.0 on,
	 * instead of the old fw_cfg items, in which QEMU before 10.2 has changed the setup header.
	 */
	bool named_blobs;
};

/* Pure. False: no edk2 that starts a kernel from QEMU's fw_cfg can be recognised in it. */
bool firmware_ways(const uint8_t *firmware, size_t n, struct firmware_ways *ret);

#endif
