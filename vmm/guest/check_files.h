/* SPDX-License-Identifier: Apache-2.0
 * check_files.h - check of image and disk files against the database.
 */
#ifndef TEEPOD_VMM_GUEST_CHECK_FILES_H
#define TEEPOD_VMM_GUEST_CHECK_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

int vmm_check_files(const char *state_dir, const char *images_dir, struct buf *out, struct err *e);

#endif
