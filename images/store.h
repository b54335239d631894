/* SPDX-License-Identifier: Apache-2.0
 * store.h - import and delete of images.
 */
#ifndef TEEPOD_IMAGES_STORE_H
#define TEEPOD_IMAGES_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/logs/serial_scan.h"

struct image_row;
struct vmm;

void images_import_demo(struct vmm *v);
/* After the start: remove what imports left, and hold all images against what is recorded. */
void images_check(struct vmm *v);
/* Import from a folder or tar on this host; verification runs in a job, @done on the loop with the
 * row or an error. */
void vmm_image_import(struct vmm *v, const char *source, const char *name, int64_t workspace,
		      void (*done)(void *arg, const struct image_row *row, const struct err *e),
		      void *arg);
/* Refused (ERR_IN_USE) while a CVM uses it. */
void vmm_image_delete(struct vmm *v, const char *name, void (*done)(void *arg, const struct err *e),
		      void *arg);

#endif
