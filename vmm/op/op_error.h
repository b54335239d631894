/* SPDX-License-Identifier: Apache-2.0
 * op_error.h - errors of operations.
 */
#ifndef TEEPOD_VMM_OP_OP_ERROR_H
#define TEEPOD_VMM_OP_OP_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct op_row;

/* Why an operation failed or was cancelled, as the error value it ended with. False if it did not.
 */
bool vmm_op_error(const struct op_row *o, struct err *ret);

#endif
