/* SPDX-License-Identifier: Apache-2.0
 * measurements.h - answers that carry what a verifier will see, and so come from a job.
 */
#ifndef TEEPOD_API_CLOUD_MEASUREMENTS_H
#define TEEPOD_API_CLOUD_MEASUREMENTS_H

#include "api/cloud/context.h"

struct cvm_row;

/* Answer @c with @body (stolen, "fits": true) and "measurements" of @row with @manifest in it. If
 * they can not be because such a CVM could not start, that refusal is the answer; if the hypervisor
 * is not connected, "measurements" is null. */
void preflight_reply_measured(struct call *c, json_t *body, const struct cvm_row *row,
			      const char *manifest);

/* What a preflight says to a refusal: only a request that could never be answered is an error. */
void preflight_reply_refused(struct call *c, const struct err *e);

#endif
