/* SPDX-License-Identifier: Apache-2.0
 * body_machine.h - request fields about the virtual machine: TDX and network interfaces.
 */
#ifndef TEEPOD_API_CLOUD_BODY_MACHINE_H
#define TEEPOD_API_CLOUD_BODY_MACHINE_H

#include "base/json.h"
#include "vmm/admit/networks.h"
#include "vmm/node/settings.h"

struct tdx_request;

/* One entry of "networks", and the object "tdx"; parts of the tables of body_cvm.h. */
extern const struct field_table network_table, tdx_table;

/* Words of "tee", in the order of enum tee_setting. */
extern const char *const tee_words[];

/* Convert "networks", which its table has checked, to the text form of vmm/admit/networks.h; "" if
 * absent. */
int parse_network_list(const json_t *list, char out[NETWORKS_TEXT], struct err *e);

/* Convert "tdx": registers of the TD. Absent ones keep their defaults. @j NULL: all absent. */
int parse_tdx(const json_t *j, struct tdx_request *ret, struct err *e);

/* Merge @tee with the older require_tdx. ERR_INCOMPATIBLE if they contradict each other. */
int parse_tee(enum tee_setting tee, bool require_tdx, enum tee_setting *ret, struct err *e);

#endif
