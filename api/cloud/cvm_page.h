/* SPDX-License-Identifier: Apache-2.0
 * cvm_page.h - lists of CVMs as answers: a short page at once, a long one in pieces.
 */
#ifndef TEEPOD_API_CLOUD_CVM_PAGE_H
#define TEEPOD_API_CLOUD_CVM_PAGE_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"
#include "db/cvms.h"

struct call;
struct cvm_serializer;
struct json_out;
struct vmm;

enum { PIECE_ROWS = 100 };

typedef int cvm_list_fn(struct vmm *v, const struct cvm_filter *f, int64_t offset, int64_t limit,
			struct cvm_row **ret, size_t *n, int64_t *ret_total, struct err *e);
typedef void cvm_serialize_fn(struct cvm_serializer *s, const struct cvm_row *row,
			      struct json_out *o);

/* A list of rows by the CVMs' or (@by_app) the apps' ids, newest first. */
struct cvm_list {
	const char *key; /* of the list in the answer */
	cvm_list_fn *read;
	cvm_serialize_fn *serialize;
	bool by_app;
};

/* An object with the list and the members of @more. */
struct cvm_page {
	struct cvm_list list;
	struct cvm_filter filter; /* of the list; its texts belong to the call */
	struct cvm_row *rows;     /* owned; of the piece to write */
	size_t n;
	int64_t left; /* number of further rows to read */
	json_t *more; /* owned */
};

/* Takes rows and more. A page with rows left to read is streamed, and counts as one of the waiting
 * requests of the caller (stream_admit()). */
void cvm_page_reply(struct call *c, struct cvm_page *p);

/* A list of objects as text. */
void cvm_rows_write(const struct call *c, const struct cvm_row *rows, size_t n,
		    cvm_serialize_fn *fn, struct buf *out);

#endif
