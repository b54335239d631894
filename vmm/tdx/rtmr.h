/* SPDX-License-Identifier: Apache-2.0
 * rtmr.h - RTMR1 and RTMR2: the measurements that firmware and EFI stub make of a directly booted
 * Linux. Pure.
 *
 * A register begins as zeros; an event with digest d makes it SHA-384(register | d). The events of
 * a kernel that OVMF starts from QEMU's fw_cfg:
 *
 *	RTMR1  the PE digest of the kernel
 *	       the action "Calling EFI Application from Boot Option"
 *	       the separator of ready-to-boot
 *	       "Exit Boot Services Invocation"
 *	       "Exit Boot Services Returned with Success"  (edk2 OvmfPkg/Tcg/TdTcg2Dxe)
 *	RTMR2  the command line in UTF-16 with its NUL
 *	       the initrd  (Linux drivers/firmware/efi/libstub, from 6.9 on)
 *
 * The verifier of dstack expects the same lists. edk2 before 2024 put the separator into RTMR0.
 */
#ifndef TEEPOD_VMM_TDX_RTMR_H
#define TEEPOD_VMM_TDX_RTMR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/tdx/tdvf.h"

void sha384(const void *data, size_t n, uint8_t ret[SHA384_LEN]);

/* SHA-384 of a PE file as in Authenticode and MeasurePeImageAndExtend() of edk2: without checksum,
 * certificate entry and certificates. ERR_INVALID, field "kernel": no PE file, so no firmware would
 * start it. */
int pe_digest(const uint8_t *file, size_t n, uint8_t ret[SHA384_LEN], struct err *e);

/* Change the setup header of a bzImage in place, as QEMU before 10.2 does, for a TD as well
 * (hw/i386/x86-common.c). The initrd is placed as high as the memory below 4 GiB allows, so the
 * digest depends on @memory_mib. ERR_INVALID, field "kernel": no bzImage of boot protocol 2.12 or
 * newer. ERR_INCOMPATIBLE: the initrd does not fit into the memory. */
int kernel_header_patch(uint8_t *kernel, size_t n, uint64_t initrd_size, uint64_t memory_mib,
			struct err *e);

void rtmr1_of(const uint8_t kernel_digest[SHA384_LEN], uint8_t ret[SHA384_LEN]);

/* How the firmware names the initrd to the kernel: "CMDLINE initrd=initrd", or, in edk2 with
 * support for shim, "initrd=initrd CMDLINE". */
enum initrd_word { INITRD_WORD_LAST, INITRD_WORD_FIRST };

/* ERR_INVALID, field "cmdline": a byte is not ASCII, and how the firmware converts it is not known.
 */
int rtmr2_of(const char *cmdline, enum initrd_word word, const uint8_t initrd_digest[SHA384_LEN],
	     uint8_t ret[SHA384_LEN], struct err *e);

#endif
