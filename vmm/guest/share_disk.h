/* SPDX-License-Identifier: Apache-2.0
 * share_disk.h - put the guest's files on a FAT disk, for guests and hosts without 9p.
 */
#ifndef TEEPOD_VMM_GUEST_SHARE_DISK_H
#define TEEPOD_VMM_GUEST_SHARE_DISK_H

#include "base/err.h"

/* [job] Create @image: a 128 MiB FAT32 file system with the regular files of folder @dir. Its label
 * is DSTACKSHR, by which dstack guests find it. The image is written under another name and
 * renamed, so that a running guest keeps its disk. Needs dosfstools and mtools. */
int share_disk_make(const char *dir, const char *image, struct err *e);

#endif
