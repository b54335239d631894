/* SPDX-License-Identifier: Apache-2.0
 * host_check.h - what this host needs to run TDX guests, and what is missing: rows for people and
 * for GET /node.
 *
 * Names of rows are stable: clients and docs/tdx-host.md use them. Order, values and advice may
 * change.
 */
#ifndef TEEPOD_VMM_HOST_HOST_CHECK_H
#define TEEPOD_VMM_HOST_HOST_CHECK_H

#include <stdbool.h>
#include <stdint.h>
#include <stddef.h>

struct host_facts;
struct hv_caps;

enum check_state {
	CHECK_OK,
	CHECK_WARN,    /* missing, and needed only by some CVMs (GPUs, huge pages, on-chain KMS) */
	CHECK_UNKNOWN, /* could not be determined */
	CHECK_MISSING, /* a TDX guest fails without it */
	CHECK_STATES
};
extern const char *const check_state_word[CHECK_STATES]; /* "ok", "warn", "unknown", "missing" */

struct host_check {
	const char *name;
	enum check_state state;
	bool required;    /* on every TDX host; only such rows can be missing */
	char value[400];  /* what was found */
	char advice[320]; /* the remedy; "" if none is needed */
};

enum { HOST_CHECKS = 19 };

/* What the rows are made from. Borrowed. */
struct host_check_input {
	const struct host_facts *facts;
	const struct hv_caps *caps; /* NULL: never connected */
	const char *link_error;     /* why not connected now; NULL: connected */
	bool connecting;       /* the first attempt has not ended yet: link_error is no failure */
	const char *uri;       /* of the hypervisor */
	const char *device_id; /* "" = not known */
	int64_t slots;         /* -1: not configured */
};

/* Pure. Required rows come first. */
void host_check(const struct host_check_input *in, struct host_check ret[HOST_CHECKS]);

struct host_verdict {
	unsigned required, missing, unknown; /* missing, unknown: among the required rows */
};

/* Count the required rows by state. Pure. */
struct host_verdict host_verdict(const struct host_check rows[HOST_CHECKS]);

#endif
