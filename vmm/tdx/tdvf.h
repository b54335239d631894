/* SPDX-License-Identifier: Apache-2.0
 * tdvf.h - MRTD: what the TDX module has measured of a TD before its first instruction, worked out
 * from the firmware file.
 *
 * A TDVF file ends in a table of GUIDs (OVMF's), one of which leads to the TDX metadata: sections
 * that say which pages are put into the TD and which of them are measured (Intel, TDX Virtual
 * Firmware Design Guide, "TDVF descriptor"). MRTD is the SHA-384 of what TDH.MEM.PAGE.ADD and
 * TDH.MR.EXTEND append for them (Intel TDX Module ABI): 128 bytes with the name at 0 and the page's
 * address at 16, and for every measured 256 bytes of content the same with its own address and then
 * the content.
 *
 * The order is that of QEMU from 10.1 on, the oldest that runs TDs here: section by section, and in
 * a section page by page, each added and at once extended (QEMU tdx_init_fw_mem_region(),
 * KVM_TDX_INIT_MEM_REGION; Linux tdx_vcpu_init_mem_region() takes one page at a time). Patched
 * QEMUs of before 9 added a section's pages first and extended them in a second pass.
 */
#ifndef TEEPOD_VMM_TDX_TDVF_H
#define TEEPOD_VMM_TDX_TDVF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SHA384_LEN = 48, SHA384_HEX = 97 };

/* Pure. ERR_INVALID, field "firmware", for what QEMU would refuse too, for metadata that would have
 * more than 1 GiB added, and for a measured TD HOB, whose bytes QEMU makes at the start. */
int tdvf_mrtd(const uint8_t *firmware, size_t n, uint8_t ret[SHA384_LEN], struct err *e);

#endif
