/* SPDX-License-Identifier: Apache-2.0
 * leftovers.h - temporary files of a daemon that was killed.
 */
#ifndef TEEPOD_VMM_NODE_LEFTOVERS_H
#define TEEPOD_VMM_NODE_LEFTOVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* leftovers.c: remove temporary files that a killed daemon left in its state folder. Before
 * anything writes there. */
void leftovers_remove(const char *state_dir);

#endif
