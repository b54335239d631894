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
struct guests;
struct vmm;

struct guests *guests_new(void);
/* Not while jobs run. */
void guests_free(struct guests *all);
/* Follow the serial log of the running guest @c until it ends. */
void guest_listen(struct vmm *v, const struct cvm_row *c);
/* Stop following the log of @cvm, for example because the CVM is deleted. */
void guest_forget(struct vmm *v, int64_t cvm);
/* True while the end of the serial log of @cvm is not yet read and recorded. Operations are woken
 * when this changes. */
bool guest_is_unread(const struct vmm *v, int64_t cvm);
/* For tests: false when no guest is followed any more. */
bool guests_are_followed(const struct vmm *v);
/* The node closes: stop following all logs, and cancel the rotation. */
void guests_close(struct vmm *v);

#endif
