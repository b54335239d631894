/* SPDX-License-Identifier: Apache-2.0
 * conn_deadline.h - connections whose deadline has passed.
 */
#ifndef TEEPOD_API_HTTP_CONN_DEADLINE_H
#define TEEPOD_API_HTTP_CONN_DEADLINE_H

#include "api/http/conn.h"

/* End the connections whose deadline has passed, and set the timer for the next deadline. */
void conn_check_deadlines(struct conn_pool *p);

#endif
