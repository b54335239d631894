/* SPDX-License-Identifier: Apache-2.0
 * leftovers.h - temporary files of a daemon that was killed.
 */
#ifndef TEEPOD_VMM_NODE_LEFTOVERS_H
#define TEEPOD_VMM_NODE_LEFTOVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Remove the temporary files that a killed daemon left in @state_dir. Call it before anything is
 * written there. Files that cannot be removed are logged. */
void leftovers_remove(const char *state_dir);

#endif
