/* SPDX-License-Identifier: Apache-2.0
 * virt_error.h - errors of libvirt as ours.
 */
#ifndef TEEPOD_VMM_VIRT_VIRT_ERROR_H
#define TEEPOD_VMM_VIRT_VIRT_ERROR_H

#include "base/err.h"

/* Fill *e with the last libvirt error of this thread. The text is "@what: <text of libvirt>".
 * Returns the negative error code. */
int virt_err(struct err *e, const char *what);

#endif
