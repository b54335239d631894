/* SPDX-License-Identifier: Apache-2.0
 * embed_root.h - the folder libvirt's embedded QEMU driver lives in. Blocking: for jobs and
 * start-up.
 */
#ifndef TEEPOD_VMM_VIRT_EMBED_ROOT_H
#define TEEPOD_VMM_VIRT_EMBED_ROOT_H

#include <stddef.h>

#include "base/err.h"

/* Longest root (bytes) below which QEMU's monitor sockets still have room. */
enum { EMBED_ROOT_MAX = 46 };

/* Make @root fit to be opened: folders, qemu.conf, nothing left of an earlier boot.
 * ERR_INVALID: not absolute or too long. ERR_UNAVAILABLE: another process has it open (worth trying
 * again). */
int embed_root_prepare(const char *root, struct err *e);

/* For tests: clean up after boot @stamp instead of this one's. */
int embed_root_prepare_for(const char *root, const char *stamp, struct err *e);

#endif
