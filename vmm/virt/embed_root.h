/* SPDX-License-Identifier: Apache-2.0
 * embed_root.h - prepares the root folder of libvirt's embedded QEMU driver.
 *
 * Blocking: for jobs and for start-up.
 */
#ifndef TEEPOD_VMM_VIRT_EMBED_ROOT_H
#define TEEPOD_VMM_VIRT_EMBED_ROOT_H

#include <stddef.h>

#include "base/err.h"

/* Longest root (bytes) below which QEMU's monitor sockets still have room. */
enum { EMBED_ROOT_MAX = 46 };

/* Prepare @root for the driver: create folders and qemu.conf, remove what is left of an earlier
 * boot. ERR_INVALID: not absolute or too long. ERR_UNAVAILABLE: another process has it open (try
 * again later). */
int embed_root_prepare(const char *root, struct err *e);

/* For tests: the same, with the boot named @stamp. */
int embed_root_prepare_for(const char *root, const char *stamp, struct err *e);

#endif
