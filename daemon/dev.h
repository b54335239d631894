/* SPDX-License-Identifier: Apache-2.0
 * dev.h - the files of --dev: url and admin.key, for users and scripts.
 */
#ifndef TEEPOD_DAEMON_DEV_H
#define TEEPOD_DAEMON_DEV_H

#include "vmm/vmm.h"

/* Folder of the demo images: $TEEPOD_IMAGES, else "images" next to the program, else the installed
 * one. The caller frees it. */
char *dev_images_dir(void);

/* Write the base URL to @dir/url. Call it when the server listens. */
int dev_write_url(const char *dir, const char *url, struct err *e);

/* Create an admin key and write it to @dir/admin.key (0600), unless that file has a valid key. */
int dev_ensure_key(struct vmm *v, const char *dir, struct err *e);

#endif
