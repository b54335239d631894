/* SPDX-License-Identifier: Apache-2.0
 * serialize_status.h - the status of a CVM as JSON.
 */
#ifndef TEEPOD_API_CLOUD_SERIALIZE_STATUS_H
#define TEEPOD_API_CLOUD_SERIALIZE_STATUS_H

#include <stdint.h>
#include <jansson.h>

struct cvm_row;

/* Answer of GET /cvms/{id}/state. @now_ms: wall clock. */
json_t *serialize_state(const struct cvm_row *c, int64_t now_ms);

/* One value of the answer of POST /status/batch. */
json_t *serialize_status(const struct cvm_row *c, int64_t now_ms);

#endif
