/* SPDX-License-Identifier: Apache-2.0
 * err.h - one error value, filled where the failure is known, carried unchanged to the edge.
 *
 * A function that can fail returns 0, or a negative enum err_code after filling *e; its outputs
 * stay untouched on failure. The struct lives on the caller's stack and owns nothing, so there is
 * no free path to forget. Everything below api/ fills it; only api/http/envelope.c turns it into an
 * HTTP status and a body. The numbers are stored with failed operations: append, never renumber.
 */
#ifndef TEEPOD_BASE_ERR_H
#define TEEPOD_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum err_code {
	ERR_NONE = 0,
	ERR_INVALID,         /* a value breaks its rule: field, value and text say which */
	ERR_NOT_FOUND,       /* no such thing (route, operation, image file, log) */
	ERR_BUSY,            /* another operation runs on the CVM: retry later */
	ERR_CAPACITY,        /* fits the rules, not this host right now: see .cap */
	ERR_CAPACITY_UNSET,  /* the node has no capacity record (ERR-02-014) */
	ERR_CVM_NOT_FOUND,   /* identifier matches no CVM (ERR-03-001) */
	ERR_CVM_AMBIGUOUS,   /* identifier matches several CVMs (ERR-03-010) */
	ERR_NAME_TAKEN,      /* CVM name in use in the workspace (ERR-01-004) */
	ERR_NODE_NOT_FOUND,  /* node named in the request does not exist (ERR-01-001) */
	ERR_COMPOSE_MISSING, /* compose_file missing (ERR-01-002) */
	ERR_COMPOSE_INVALID, /* compose file does not parse (ERR-01-003) */
	ERR_TYPE_NOT_FOUND,  /* unknown instance type (ERR-02-001) */
	ERR_INCOMPATIBLE,    /* parameters contradict each other (ERR-02-009) */
	ERR_IMAGE_NOT_FOUND, /* OS image unknown (ERR-02-010) */
	ERR_IMAGE_MISMATCH,  /* image exists, cannot serve the request (ERR-02-013) */
	ERR_IN_USE,          /* refused while something uses it */
	ERR_CONFLICT, /* idempotency key reused with another body, state moved under the caller */
	ERR_UNAUTHENTICATED, /* no or wrong credential */
	ERR_FORBIDDEN,       /* role does not allow it */
	ERR_RATE,            /* too many failed tries: retry later */
	ERR_UNAVAILABLE,     /* hypervisor not connected yet, or draining: retry later */
	ERR_UNSUPPORTED,     /* this host cannot do it (no TDX, no GPU ...), the text says why */
	ERR_HOST,            /* host, libvirt or QEMU failed; errno kept in .sys */
	ERR_TIMEOUT,         /* a deadline passed */
	ERR_CANCELLED,       /* the operation was cancelled or superseded */
	ERR_TOO_LARGE,       /* body or value over its limit */
	ERR_GPU,             /* the GPUs asked for can not be given (ERR-02-006) */
	ERR_GPU_BUSY,        /* free in our books, in use on the host (ERR-02-016) */
	ERR_PRECONDITION,    /* If-Match names another generation than the current one */
	ERR_NODE_CLOSED,     /* the node takes no new CVMs (ERR-02-012) */
	ERR_QUOTA,           /* the workspace's share is used up: see .cap (ERR-02-015) */
	ERR_QUOTA_SIZE,      /* more than the workspace's whole share: see .cap (ERR-04-003) */
	ERR_QUOTA_CVMS, /* the workspace has as many CVMs as it may have: see .cap (ERR-04-002) */
	ERR_BALANCE,    /* the workspace can not pay for it: .cap.asked is needed, .cap.free there
			   (ERR-04-001) */
	ERR_KEYS,     /* the workspace has as many API keys as it may have: see .cap (ERR-05-001) */
	ERR_KEY_RATE, /* API keys are made too fast: see .cap.total and .retry_s (ERR-05-002) */
	ERR_CVM_ELSEWHERE,  /* the CVM is not in the workspace that was named (ERR-03-003) */
	ERR_REPLICA_IMAGE,  /* the source's image is not on the node (ERR-03-006) */
	ERR_APP_CONFLICT,   /* the app lives with another configuration (ERR-03-007) */
	ERR_REPLICA_SOURCE, /* no such source for this caller (ERR-03-008) */
	ERR_REPLICA_HASH,   /* several live revisions: which one? (ERR-03-009) */
	ERR_CODES           /* count */
};

struct err_cap {
	const char *resource; /* static string: a resource of the capacity table, "gpus", or
				 "hugepages_mib" */
	uint64_t asked, free, total;
	int numa_node; /* -1: host-wide */
};

struct err {
	enum err_code code;
	int sys;         /* errno at the origin, or 0 */
	char field[64];  /* dotted path into the request ("compose_file.name"), or "" */
	char value[200]; /* what was given, printable and cut (at 95 bytes by err_field()), or "" */
	char text[320];  /* for people; never parsed by anyone */
	char hint[200];  /* what would fit, or what to do about it; or "" */
	struct err_cap cap; /* meaningful for ERR_CAPACITY and where its code says so; a balance may
			       be negative */
	unsigned retry_s;   /* when to come back, 0 = not known */
};

/* Fill *e with @code and a text. Returns -code. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As err_set(), naming the request field and the value given (@value may be NULL). */
int err_field(struct err *e, enum err_code code, const char *field, const char *value,
	      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* ERR_HOST with errno @sys; its strerror text is appended to the text: "open /x: No such file ...".
 */
int err_sys(struct err *e, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ERR_CAPACITY with numbers. @resource must be a static string. */
int err_capacity(struct err *e, const char *resource, uint64_t asked, uint64_t left,
		 uint64_t total);

/* As err_capacity(), of the share of a workspace. @left may be negative when a balance is. */
int err_share(struct err *e, enum err_code code, const char *resource, int64_t asked, int64_t left,
	      int64_t total, const char *fmt, ...) __attribute__((format(printf, 7, 8)));

/* What is free, without the total it is of: for those whom the host's totals do not concern. Leaves
 * other errors as they are. */
#define ERR_TOTAL_HIDDEN UINT64_MAX
void err_hide_total(struct err *e);

/* Add what would help; may follow any of the above. Returns -e->code, so it can end a function. */
int err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Of the lines that a program wrote before it failed (QEMU in a message of libvirt, qemu-img): the
 * one that says why. Not a warning or notice, nor an explanation that follows the error; in @out
 * cut to @n. */
void err_cause(const char *said, char *out, size_t n);

/* "invalid", "not_found", ...: the word stored in rows and logs for @code; "unknown" outside the
 * enum. */
const char *err_word(enum err_code code);

#endif
