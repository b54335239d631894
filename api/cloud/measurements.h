/* SPDX-License-Identifier: Apache-2.0
 * measurements.h - preflight answers that include expected measurements.
 */
#ifndef TEEPOD_API_CLOUD_MEASUREMENTS_H
#define TEEPOD_API_CLOUD_MEASUREMENTS_H

#include "api/cloud/context.h"

struct cvm_row;

/* Answer @c with @body (stolen, "fits": true) and the "measurements" of @row with @manifest. If
 * they cannot be computed because such a CVM could not start, answer with that error; if the
 * hypervisor is not connected, "measurements" is null. */
void preflight_reply_measured(struct call *c, json_t *body, const struct cvm_row *row,
			      const char *manifest);

/* Answer a refused preflight: ERR_INVALID is an HTTP error, any other @e is "fits": false. */
void preflight_reply_refused(struct call *c, const struct err *e);

#endif
