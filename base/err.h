/* SPDX-License-Identifier: Apache-2.0
 * err.h - the error value: filled where the failure is known, passed on unchanged.
 *
 * A function that can fail returns 0, or a negative enum err_code with *e filled; it then leaves
 * its outputs untouched. The struct is on the stack of the caller and owns nothing. Only
 * api/http/envelope.c converts it to an HTTP status and body. The numbers are stored with failed
 * operations: append, never renumber.
 */
#ifndef TEEPOD_BASE_ERR_H
#define TEEPOD_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum err_code {
	ERR_NONE = 0,
	ERR_INVALID,         /* invalid value: see field, value and text */
	ERR_NOT_FOUND,       /* does not exist (route, operation, image file, log) */
	ERR_BUSY,            /* the CVM has another operation: retry later */
	ERR_CAPACITY,        /* valid, but not enough free capacity now: see .cap */
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
	ERR_IN_USE,          /* refused because it is in use */
	ERR_CONFLICT, /* idempotency key reused with another body, or the state has changed */
	ERR_UNAUTHENTICATED, /* no or wrong credential */
	ERR_FORBIDDEN,       /* role does not allow it */
	ERR_RATE,            /* too many failed attempts: retry later */
	ERR_UNAVAILABLE,     /* hypervisor not connected yet, or draining: retry later */
	ERR_UNSUPPORTED,     /* not possible on this host (no TDX, no GPU ...): see text */
	ERR_HOST,            /* host, libvirt or QEMU failed; errno kept in .sys */
	ERR_TIMEOUT,         /* a deadline has passed */
	ERR_CANCELLED,       /* the operation was cancelled or superseded */
	ERR_TOO_LARGE,       /* body or value over its limit */
	ERR_GPU,             /* the requested GPUs are not available (ERR-02-006) */
	ERR_GPU_BUSY,        /* not reserved, but in use on the host (ERR-02-016) */
	ERR_PRECONDITION,    /* If-Match names another generation than the current one */
	ERR_NODE_CLOSED,     /* the node accepts no new CVMs (ERR-02-012) */
	ERR_QUOTA,      /* not enough of the workspace's quota is free: see .cap (ERR-02-015) */
	ERR_QUOTA_SIZE, /* larger than the workspace's quota: see .cap (ERR-04-003) */
	ERR_QUOTA_CVMS, /* the workspace has the maximum number of CVMs: see .cap (ERR-04-002) */
	ERR_BALANCE,    /* balance too low: .cap.asked needed, .cap.free available (ERR-04-001) */
	ERR_KEYS,     /* the workspace has the maximum number of API keys: see .cap (ERR-05-001) */
	ERR_KEY_RATE, /* API keys are created too fast: see .cap.total and .retry_s (ERR-05-002) */
	ERR_CVM_ELSEWHERE,  /* the CVM is not in the named workspace (ERR-03-003) */
	ERR_REPLICA_IMAGE,  /* the image of the source is not on the node (ERR-03-006) */
	ERR_APP_CONFLICT,   /* the app runs with another configuration (ERR-03-007) */
	ERR_REPLICA_SOURCE, /* no such source, or not visible to the caller (ERR-03-008) */
	ERR_REPLICA_HASH,   /* several live revisions, none named (ERR-03-009) */
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
	char value[200]; /* the invalid value, printable, cut (to 95 bytes by err_field()), or "" */
	char text[320];  /* for people; no program parses it */
	char hint[200];  /* what would be accepted, or what to do; or "" */
	struct err_cap cap; /* for codes that refer to .cap; a balance may be negative */
	unsigned retry_s;   /* when to retry, 0 = unknown */
};

/* Fill *e. Returns -code. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Like err_set(), with the request field and its value (may be NULL). */
int err_field(struct err *e, enum err_code code, const char *field, const char *value,
	      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* ERR_HOST with errno @sys, whose description is appended: "open /x: No such file or directory". */
int err_sys(struct err *e, int sys, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* ERR_CAPACITY with numbers. @resource must be a static string. */
int err_capacity(struct err *e, const char *resource, uint64_t asked, uint64_t left,
		 uint64_t total);

/* Like err_capacity(), for the quota or balance of a workspace. A balance may be negative. */
int err_share(struct err *e, enum err_code code, const char *resource, int64_t asked, int64_t left,
	      int64_t total, const char *fmt, ...) __attribute__((format(printf, 7, 8)));

/* Remove the total from ERR_CAPACITY, for callers that may not see the host's totals. Other errors
 * stay as they are. */
#define ERR_TOTAL_HIDDEN UINT64_MAX
void err_hide_total(struct err *e);

/* Add a hint, after any of the above. Returns -e->code. */
int err_hint(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Find the cause in @output, the output of a program that failed (QEMU in a message of libvirt,
 * qemu-img): the line with the error, not warnings, notices or advice. Into @out of @n bytes, cut
 * to fit. */
void err_cause(const char *output, char *out, size_t n);

/* The word for @code in rows and logs: "invalid", "not_found", ...; "unknown" if it is not in the
 * enum. */
const char *err_word(enum err_code code);

#endif
