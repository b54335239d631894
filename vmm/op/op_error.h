/* SPDX-License-Identifier: Apache-2.0
 * op_error.h - store the error of an operation in its row, and read it.
 */
#ifndef TEEPOD_VMM_OP_OP_ERROR_H
#define TEEPOD_VMM_OP_OP_ERROR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct op_row;

/* Size of the stored error, in bytes. */
enum { ERROR_TEXT = 1024 };
/* Write @e as JSON. If it does not fit, the least important members are emptied or cut first. */
void op_error_write(const struct err *e, char out[ERROR_TEXT]);
/* Read the error that the operation failed or was cancelled with. False if it has none. */
bool vmm_op_error(const struct op_row *o, struct err *ret);

#endif
