/* SPDX-License-Identifier: Apache-2.0
 * serialize_operation.h - operations as JSON.
 */
#ifndef TEEPOD_API_CLOUD_SERIALIZE_OPERATION_H
#define TEEPOD_API_CLOUD_SERIALIZE_OPERATION_H

#include <jansson.h>

struct call;
struct cvm_row;
struct op_row;

/* @op as the caller of @c may see it: only operators see totals of the node in its error. */
json_t *serialize_operation(const struct call *c, const struct op_row *op);

/* Put a queued or running operation, as a change returned it, into the row read before. */
void cvm_row_overlay(struct cvm_row *c, const struct op_row *op);

#endif
