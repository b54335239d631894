/* SPDX-License-Identifier: Apache-2.0
 * tdvf.h - compute MRTD, the TDX module's measurement of a TD before its first instruction, from
 * the firmware file.
 *
 * A TDVF file ends with OVMF's table of GUIDs. One entry contains the offset of the TDX metadata: a
 * list of sections, with the pages that are added to the TD and whether they are measured (Intel,
 * TDX Virtual Firmware Design Guide, "TDVF descriptor"). MRTD is the SHA-384 of the records of
 * TDH.MEM.PAGE.ADD and TDH.MR.EXTEND (Intel TDX Module ABI). A page that is added has a record of
 * 128 bytes, with the name at 0 and the page's address at 16. Each measured chunk of 256 bytes has
 * such a record with its own address, followed by its content.
 *
 * The order is that of QEMU 10.1 (the oldest that runs TDs here) and newer: section by section,
 * page by page, each page added and extended at once (QEMU tdx_init_fw_mem_region(),
 * KVM_TDX_INIT_MEM_REGION; Linux tdx_vcpu_init_mem_region() processes one page at a time). Patched
 * QEMUs before 9 first added all pages of a section and extended them in a second pass.
 */
#ifndef TEEPOD_VMM_TDX_TDVF_H
#define TEEPOD_VMM_TDX_TDVF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SHA384_LEN = 48, SHA384_HEX = 97 };

/* Pure. ERR_INVALID, field "firmware": QEMU would refuse the file, its metadata would add more than
 * 1 GiB, or it has a measured TD HOB, whose content QEMU creates at the start. */
int tdvf_mrtd(const uint8_t *firmware, size_t n, uint8_t ret[SHA384_LEN], struct err *e);

#endif
