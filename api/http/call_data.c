/* SPDX-License-Identifier: Apache-2.0
 * call_data.c - free the private part of a call.
 */
#include "api/http/call_data.h"
#include "base/buf.h"

#include <stdlib.h>

void call_data_free(struct call_data *d)
{
	body_parse_free(d->parsed);
	buf_free(&d->extra);
	free(d->pairs);
	free(d->pairs_store);
	free(d->base_url);
}
