/* SPDX-License-Identifier: Apache-2.0
 * conn_write.h - send bytes on a connection, and end it in order.
 *
 * Each function may end in conn_destroy(), except conn_backlog().
 */
#ifndef TEEPOD_API_HTTP_CONN_WRITE_H
#define TEEPOD_API_HTTP_CONN_WRITE_H

#include "api/http/conn.h"

/* Send plain bytes, encrypted if the connection has TLS. */
void conn_send(struct conn *c, const void *data, size_t n);
/* Write what TLS has put into c->out. */
void conn_flush(struct conn *c);

/* Bytes accepted by conn_send() and not yet by the kernel. */
size_t conn_backlog(const struct conn *c);

/* The request in flight is answered completely. @keep: another request may follow. */
void conn_answered(struct conn *c, bool keep);

/* Close in order: send what is queued, then end-of-file, then read and drop what still arrives. */
void conn_linger(struct conn *c);
/* No request is in flight: send the TLS close message and close. */
void conn_close_idle(struct conn *c);

/* Destroy the connection if its peer reads the queued output too slowly. */
void conn_check_written(struct conn *c, uint64_t now);

#endif
