/* SPDX-License-Identifier: Apache-2.0
 * policy.h - the policy fields of a request.
 */
#ifndef TEEPOD_VMM_ADMIT_POLICY_H
#define TEEPOD_VMM_ADMIT_POLICY_H

struct cvm_policy;
struct policy_request;

/* Copy the fields that the request has to *p. The others stay as they are. */
void policy_apply_request(struct cvm_policy *p, const struct policy_request *req);

#endif
