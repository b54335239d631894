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

/* The text of an error as the row keeps it. */
enum { ERROR_TEXT = 1024 };
/* Write @e as JSON. Whatever does not fit is left out: the least important parts first. */
void op_error_write(const struct err *e, char out[ERROR_TEXT]);
/* Why an operation failed or was cancelled, as the error value it ended with. False if it did not.
 */
bool vmm_op_error(const struct op_row *o, struct err *ret);

#endif
