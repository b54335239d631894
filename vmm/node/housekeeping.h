/* SPDX-License-Identifier: Apache-2.0
 * housekeeping.h - delete old rows of the database. Loop thread only.
 */
#ifndef TEEPOD_VMM_NODE_HOUSEKEEPING_H
#define TEEPOD_VMM_NODE_HOUSEKEEPING_H

#include "base/err.h"

struct housekeeping;
struct vmm;

struct housekeeping *housekeeping_new(void);
/* After housekeeping_stop(). */
void housekeeping_free(struct housekeeping *h);
/* [turn] Delete one portion of old rows now. */
int housekeeping_prune(struct vmm *v, struct err *e);
/* Delete a portion every minute from now on, until housekeeping_stop(). */
void housekeeping_begin(struct vmm *v);
void housekeeping_stop(struct vmm *v);

#endif
