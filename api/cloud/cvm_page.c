/* SPDX-License-Identifier: Apache-2.0
 * cvm_page.c - lists of CVMs as answers.
 *
 * A long page is read and written in pieces of PIECE_ROWS rows. In a turn of the loop one piece of
 * one page is written, and none while more than BACKLOG_MAX bytes wait for the client. So the loop
 * spends less than a millisecond at a time on pages, and the memory that a slow client holds is
 * BACKLOG_MAX and the text of one piece (130 to 170 KiB). No rows are kept between two pieces.
 *
 * The next piece begins behind the last row by its id: no row comes twice, and none is left out but
 * those that are deleted meanwhile. A page that cannot be completed is aborted, so that its client
 * does not take it for a complete one.
 */
#include "api/cloud/cvm_page.h"

#include <assert.h>
#include <stdlib.h>

#include "api/cloud/authenticate.h"
#include "api/cloud/json_out.h"
#include "api/cloud/serialize_cvm.h"
#include "api/cloud/stream.h"
#include "api/http/call.h"
#include "api/http/reply.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/own.h"

enum { BACKLOG_MAX = 64 * 1024 };

struct cvm_page_stream {
	struct stream f;
	struct cvm_page page;
	bool begun;
};

/* Rows of a list with commas between them; @more: they follow other rows. */
static void write_rows(const struct call *c, const struct cvm_row *rows, size_t n, bool more,
		       cvm_serialize_fn *fn, struct buf *out)
{
	auto_cvm_serializer struct cvm_serializer s = { 0 };
	struct json_out o = { .text = out };

	cvm_serializer_init(&s, c);
	for (size_t i = 0; i < n; i++) {
		buf_puts(out, i || more ? ",{" : "{");
		fn(&s, &rows[i], &o);
		buf_puts(out, "}");
	}
}

void cvm_rows_write(const struct call *c, const struct cvm_row *rows, size_t n,
		    cvm_serialize_fn *fn, struct buf *out)
{
	buf_puts(out, "[");
	write_rows(c, rows, n, false, fn, out);
	buf_puts(out, "]");
}

static void write_begin(const struct call *c, const struct cvm_page *p, struct buf *out)
{
	buf_printf(out, "{\"%s\":[", p->list.key);
	write_rows(c, p->rows, p->n, false, p->list.serialize, out);
}

static void write_end(struct cvm_page *p, struct buf *out)
{
	struct json_out o = { .text = out };

	buf_puts(out, "]");
	json_out_members(&o, take_ptr(&p->more));
	buf_puts(out, "}");
}

static void cvm_page_free(struct cvm_page *p)
{
	free(p->rows);
	json_decref(p->more);
	*p = (struct cvm_page){ 0 };
}

static void reply_whole(struct call *c, struct cvm_page *p)
{
	auto_buf struct buf b = { 0 };

	assert(!p->left);
	write_begin(c, p, &b);
	write_end(p, &b);
	cvm_page_free(p);
	call_reply_text(c, 200, "application/json", b.data, b.len);
}

/* ------------------------------------------------------------------ in pieces */

static int read_piece(struct cvm_page_stream *s, struct err *e)
{
	struct cvm_page *p = &s->page;
	int64_t limit = p->left < PIECE_ROWS ? p->left : PIECE_ROWS;
	int r;

	assert(!p->rows && p->left > 0);
	r = p->list.read(api_of(s->f.call)->vmm, &p->filter, 0, limit, &p->rows, &p->n, NULL, e);
	if (!r)
		p->left = p->n ? p->left - (int64_t)p->n : 0;
	return r;
}

/* The next piece begins behind the last of them. */
static void drop_rows(struct cvm_page *p)
{
	if (p->n)
		p->filter.before_id = p->list.by_app ? p->rows[p->n - 1].app : p->rows[p->n - 1].id;
	free(p->rows);
	p->rows = NULL;
	p->n = 0;
}

static void log_cut_off(const struct call *c, const struct err *e)
{
	struct log_about about = { .req = c->request_id };

	log_write(LOG_LEVEL_ERROR, &about, "%s %s: the response is cut off: %s", c->method, c->path,
		  e->text);
}

/* False: the client is gone, or the page cannot be read. */
static bool write_piece(struct cvm_page_stream *s)
{
	auto_buf struct buf b = { 0 };
	struct cvm_page *p = &s->page;
	struct err e;

	if (!s->begun) {
		s->begun = true;
		call_stream_begin(s->f.call, 200, "application/json");
		call_stream_is_finite(s->f.call);
		write_begin(s->f.call, p, &b);
	} else if (!read_piece(s, &e)) {
		write_rows(s->f.call, p->rows, p->n, true, p->list.serialize, &b);
	} else {
		log_cut_off(s->f.call, &e);
		return false;
	}
	drop_rows(p);
	if (!p->left)
		write_end(p, &b);
	return call_stream_write(s->f.call, b.data, b.len);
}

static void cvm_page_poll(struct stream *f, bool tick)
{
	struct cvm_page_stream *s = (struct cvm_page_stream *)f;

	(void)tick;
	if (call_stream_backlog(f->call) >= BACKLOG_MAX)
		stream_poll_soon(f);
	else if (!write_piece(s) || !s->page.left)
		stream_end(f);
	else
		stream_poll_next(f);
}

static void cvm_page_finish(struct stream *f, bool client_gone)
{
	struct cvm_page_stream *s = (struct cvm_page_stream *)f;
	struct err e;

	(void)client_gone; /* answers to the departed are dropped by the server */
	if (s->begun && s->page.left) {
		call_stream_abort(f->call);
	} else if (s->begun) {
		call_stream_end(f->call);
	} else {
		if (!caller_still_valid(f->call, &e))
			err_set(&e, ERR_UNAVAILABLE, "the daemon is stopping");
		call_reply_err(f->call, &e);
	}
	cvm_page_free(&s->page);
}

static const struct stream_ops cvm_page_ops = {
	.poll = cvm_page_poll, .finish = cvm_page_finish, .kind = STREAM_LONG_POLL, .finite = true
};

void cvm_page_reply(struct call *c, struct cvm_page *p)
{
	struct stream_share share = { 0 };
	struct cvm_page_stream *s;
	struct err e;

	if (!p->left) {
		reply_whole(c, p);
		return;
	}
	if (stream_admit(c, STREAM_LONG_POLL, &share, &e)) {
		cvm_page_free(p);
		call_reply_err(c, &e);
		return;
	}
	s = xcalloc(1, sizeof(*s));
	s->page = *p;
	s->f.share = share;
	stream_add(&s->f, c, &cvm_page_ops);
}
