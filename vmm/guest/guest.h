/* SPDX-License-Identifier: Apache-2.0
 * guest.h - follow the serial logs of running guests, and rotate their logs. Loop thread only.
 */
#ifndef TEEPOD_VMM_GUEST_GUEST_H
#define TEEPOD_VMM_GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct cvm_row;
struct vmm;

void guest_listen(struct vmm *v, const struct cvm_row *c);
void guest_forget(struct vmm *v, int64_t cvm);
/* True while the end of the serial log of @cvm is not yet read and recorded. Operations are woken
 * when this changes. */
bool guest_is_unread(const struct vmm *v, int64_t cvm);
void guests_close(struct vmm *v);

#endif
