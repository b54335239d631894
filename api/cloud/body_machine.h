/* SPDX-License-Identifier: Apache-2.0
 * body_machine.h - the part of a request that is about the machine itself: confidential or not, its
 * interfaces.
 */
#ifndef TEEPOD_API_CLOUD_BODY_MACHINE_H
#define TEEPOD_API_CLOUD_BODY_MACHINE_H

#include "base/json.h"
#include "vmm/admit/networks.h"
#include "vmm/node/settings.h"

struct tdx_request;

/* One entry of "networks", and "tdx"; part of what asks.h lists. */
extern const struct field_table network_table, tdx_table;

/* "tee", in the order of enum tee_setting. */
extern const char *const tee_words[];

/* ["networks"] as text of vmm/admit/networks.h, "" when absent. Checked by the table already. */
int parse_network_list(const json_t *list, char out[NETWORKS_TEXT], struct err *e);

/* Registers of a TD as asked for; absent ones keep their defaults. @j NULL: none. */
int parse_tdx(const json_t *j, struct tdx_request *ret, struct err *e);

/* @tee and the older require_tdx in one; ERR_INCOMPATIBLE when they contradict each other. */
int parse_tee(enum tee_setting tee, bool require_tdx, enum tee_setting *ret, struct err *e);

#endif
