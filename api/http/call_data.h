/* SPDX-License-Identifier: Apache-2.0
 * call_data.h - the parts of a request that handlers read through the functions of call.h.
 *
 * struct request (request.h) owns one for each call and fills it in when the head is accepted.
 */
#ifndef TEEPOD_API_HTTP_CALL_DATA_H
#define TEEPOD_API_HTTP_CALL_DATA_H

#include "api/http/body_parse.h"
#include "api/http/fields.h"
#include "api/http/target.h"
#include "base/buf.h"

struct call_data {
	struct fields fields;      /* strings of struct request.raw */
	struct target_pair *pairs; /* owned; made by the first call_query() */
	unsigned n_pairs;
	char *pairs_store;         /* owned */
	struct body_parse *parsed; /* owned; NULL: no job parses or parsed the body */
	struct buf extra;          /* header lines of call_add_header() */
	bool tls;
	char authority[256]; /* Host field, else the address of this end; for call_base_url() */
	char *base_url;      /* owned; made by the first call_base_url() */
	bool cut;            /* the server is gone */
};

void call_data_free(struct call_data *d);

#endif
