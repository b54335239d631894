/* SPDX-License-Identifier: Apache-2.0
 * share_disk.h - the guest's files as a FAT disk, for guests and hosts without 9p.
 */
#ifndef TEEPOD_VMM_GUEST_SHARE_DISK_H
#define TEEPOD_VMM_GUEST_SHARE_DISK_H

#include "base/err.h"

/* [job] Make @image anew: a 128 MiB FAT32 file system labelled DSTACKSHR (dstack's guests look for
 * that label) with the regular files of folder @dir. Written beside and renamed, so a running guest
 * keeps the disk it has. Needs dosfstools and mtools. */
int share_disk_make(const char *dir, const char *image, struct err *e);

#endif
