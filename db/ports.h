/* SPDX-License-Identifier: Apache-2.0
 * ports.h - rows of port forwards, and which host ports and CIDs are in use. The rules for all row
 * functions: db.h.
 */
#ifndef TEEPOD_DB_PORTS_H
#define TEEPOD_DB_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "db/db.h"
#include "db/text.h"

struct port_row {
	bool udp;
	char host_address[ADDRESS_TEXT];
	uint16_t host_port, vm_port;
};

int ports_add(struct db *db, int64_t cvm, const struct port_row *p, struct err *e);
/* Port forwards of the present state. */
int ports_of(struct db *db, int64_t cvm, struct port_row **ret, size_t *n, struct err *e);
/* 1: a CVM other than @but uses (protocol, port) on @address; a wildcard address conflicts with
 * every address. *ret_name is its name, or "" if it is not in @workspace. 0: the port is free. */
int ports_holder(struct db *db, int64_t workspace, int64_t but, bool udp, const char *address,
		 uint16_t port, char ret_name[NAME_TEXT], struct err *e);
/* The first port in @from..@to that no CVM other than @but uses. 1: found; 0: none is free. */
int ports_first_free(struct db *db, int64_t but, bool udp, const char *address, uint16_t from,
		     uint16_t to, uint16_t *ret, struct err *e);
/* Number of CVMs with vsock CID @cid. */
int cids_in_use(struct db *db, uint32_t cid, struct err *e);
/* Port forwards of the second state. */
int ports_other(struct db *db, int64_t cvm, struct port_row **ret, size_t *n, struct err *e);
/* Set the port forwards of the second state to @p[n]. *ret_new: number of ports reserved in
 * addition to those of the present state. */
int ports_plan(struct db *db, int64_t cvm, const struct port_row *p, size_t n, int64_t *ret_new,
	       struct err *e);
/* End the change: release the ports that only the second state had. *ret_gone: their number. */
int ports_settle(struct db *db, int64_t cvm, int64_t *ret_gone, struct err *e);

#endif
