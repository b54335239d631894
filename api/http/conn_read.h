/* SPDX-License-Identifier: Apache-2.0
 * conn_read.h - input of a connection: from bytes to requests.
 */
#ifndef TEEPOD_API_HTTP_CONN_READ_H
#define TEEPOD_API_HTTP_CONN_READ_H

#include "api/http/conn.h"

/* Start or stop reading, according to whether there is room for what may arrive. */
void conn_regulate(struct conn *c);

/* Process what waits in a connection that conn_pop_resume() returned. */
void conn_resume(struct conn *c);

/* Answer @text with @status instead of the request that is arriving, and close. */
void conn_refuse(struct conn *c, int status, const char *text);

#endif
