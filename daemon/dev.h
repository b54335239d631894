/* SPDX-License-Identifier: Apache-2.0
 * dev.h - what --dev leaves in its folder for people and scripts: url and admin.key.
 */
#ifndef TEEPOD_DAEMON_DEV_H
#define TEEPOD_DAEMON_DEV_H

#include "vmm/vmm.h"

/* Folder with the demo images: $TEEPOD_IMAGES, else "images" beside the program. malloc'd. */
char *dev_images_dir(void);

/* Write <dir>/url. Call when listening. */
int dev_write_url(const char *dir, const char *url, struct err *e);

/* Make <dir>/admin.key (0600) unless it holds a key that is still good. */
int dev_ensure_key(struct vmm *v, const char *dir, struct err *e);

#endif
