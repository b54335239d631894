/* SPDX-License-Identifier: Apache-2.0
 * body.h - long JSON bodies, parsed beside the loop.
 */
#ifndef TEEPOD_API_HTTP_BODY_H
#define TEEPOD_API_HTTP_BODY_H

#include <stdbool.h>

#include <jansson.h>

#include "base/err.h"

struct request;

/* What a job made of a body. */
struct body {
	struct request *q;
	const char *text; /* of the request */
	size_t len;
	bool wants_canonical;
	json_t *json;    /* owned; NULL: refused, see e, or given away */
	json_t *given;   /* what the handler got; only to be compared with */
	char *canonical; /* owned; NULL unless wanted */
	struct err e;
};

/* May a body as long as the head says be read? ERR_UNAVAILABLE if the caller, its workspace, or all
 * callers together have as many bytes of long bodies in the daemon as they may. */
int body_reserve(struct request *q, struct err *e);
void body_release(struct request *q);
bool body_is_long(const struct request *q);
/* Parse the body of @q in a job, then go on with dispatch_handle(). Until the job begins @q
 * belongs to its connection. Answers 503 if too many bodies wait already. */
void body_parse_beside(struct request *q);
void body_free(struct body *b);

#endif
