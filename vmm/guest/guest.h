/* SPDX-License-Identifier: Apache-2.0
 * guest.h - serial console and logs of running guests.
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
/* There may be more on its console than its row says. Operations look again when that is over. */
bool guest_is_unread(const struct vmm *v, int64_t cvm);
void guests_close(struct vmm *v);

#endif
