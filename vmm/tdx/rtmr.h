/* SPDX-License-Identifier: Apache-2.0
 * rtmr.h - RTMR1 and RTMR2: what the firmware and the kernel's EFI stub measure of a directly
 * booted Linux.
 *
 * A register begins as zeros; an event with digest d makes it SHA-384(register | d). The events of
 * a kernel that OVMF starts from QEMU's fw_cfg, as edk2 and Linux have them: RTMR1  the kernel's PE
 * digest; the action "Calling EFI Application from Boot Option"; the separator of ready-to-boot;
 *          "Exit Boot Services Invocation"; "Exit Boot Services Returned with Success" (edk2
 * OvmfPkg/Tcg/TdTcg2Dxe) RTMR2  the command line in UTF-16 with its NUL; the initrd (Linux
 * drivers/firmware/efi/libstub, from 6.9 on) dstack's verifier expects the same lists. edk2 of
 * before 2024 put the separator into RTMR0.
 *
 * All pure.
 */
#ifndef TEEPOD_VMM_TDX_RTMR_H
#define TEEPOD_VMM_TDX_RTMR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/tdx/tdvf.h"

void sha384(const void *data, size_t n, uint8_t ret[SHA384_LEN]);

/* SHA-384 of a PE file as Authenticode and edk2's MeasurePeImageAndExtend() take it: without
 * checksum, certificate entry and certificates. ERR_INVALID, field "kernel", if it is no PE file:
 * then no firmware would start it. */
int pe_digest(const uint8_t *file, size_t n, uint8_t ret[SHA384_LEN], struct err *e);

/* What QEMU before 10.2 writes into the setup header of a bzImage for a TD too, in place
 * (hw/i386/x86-common.c). The initrd goes as high as the memory below 4 GiB allows, so the digest
 * depends on @memory_mib. ERR_INVALID, field "kernel", for what is no bzImage of boot protocol 2.12
 * or newer; ERR_INCOMPATIBLE when the initrd does not fit into the memory. */
int kernel_header_patch(uint8_t *kernel, size_t n, uint64_t initrd_size, uint64_t memory_mib,
			struct err *e);

void rtmr1_of(const uint8_t kernel_digest[SHA384_LEN], uint8_t ret[SHA384_LEN]);

/* How the firmware tells the kernel of its initrd: "CMDLINE initrd=initrd", or, since edk2 knows
 * shim, "initrd=initrd CMDLINE". */
enum initrd_word { INITRD_WORD_LAST, INITRD_WORD_FIRST };

/* ERR_INVALID, field "cmdline", for bytes that are not ASCII: how the firmware widens them is not
 * known. */
int rtmr2_of(const char *cmdline, enum initrd_word word, const uint8_t initrd_digest[SHA384_LEN],
	     uint8_t ret[SHA384_LEN], struct err *e);

#endif
