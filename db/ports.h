/* SPDX-License-Identifier: Apache-2.0
 * ports.h - rows of port forwards, and which host ports and CIDs are in use. For the common rules
 * of these functions see db.h.
 */
#ifndef TEEPOD_DB_PORTS_H
#define TEEPOD_DB_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "db/db.h"
#include "db/text.h"

struct port_row {
	bool udp;
	char host_address[ADDRESS_TEXT];
	uint16_t host_port, vm_port;
};

int ports_add(struct db *db, int64_t cvm, const struct port_row *p, struct err *e);
int ports_of(struct db *db, int64_t cvm, struct port_row **ret, size_t *n, struct err *e);
/* Does a CVM other than @but hold (protocol, port) on @address, or on any address when one of the
 * two is a wildcard? 1/0. *ret_name is its name, "" when it belongs to another workspace than
 * @workspace. */
int ports_holder(struct db *db, int64_t workspace, int64_t but, bool udp, const char *address,
		 uint16_t port, char ret_name[NAME_TEXT], struct err *e);
/* The first port of @from..@to that no CVM but @but has: 1 found, 0 there is none. */
int ports_first_free(struct db *db, int64_t but, bool udp, const char *address, uint16_t from,
		     uint16_t to, uint16_t *ret, struct err *e);
int cids_in_use(struct db *db, uint32_t cid, struct err *e);
/* Ports of the other state. *ret malloc'd. */
int ports_other(struct db *db, int64_t cvm, struct port_row **ret, size_t *n, struct err *e);
/* The other state's ports become @p[n]; the present ones stay. *ret_new of them are held in
 * addition. */
int ports_plan(struct db *db, int64_t cvm, const struct port_row *p, size_t n, int64_t *ret_new,
	       struct err *e);
/* The present state is the only one again; *ret_gone ports are given back. */
int ports_settle(struct db *db, int64_t cvm, int64_t *ret_gone, struct err *e);

#endif
