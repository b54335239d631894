/* SPDX-License-Identifier: Apache-2.0
 * head_fuzz.c - two readers of a request head must not understand it differently.
 *
 * Whatever the lint accepts and llhttp accepts too must mean the same: method, target, version,
 * every field, the length of the body. Whatever was accepted must also survive the target decoder,
 * and be found again when it arrives in two pieces.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/http/head.h"
#include "api/http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(int ok)
{
	if (!ok)
		abort();
}

static void check_pieces(const char *raw, size_t n, size_t head_n)
{
	struct head_scan s = { 0 };
	struct head_fault f;
	size_t found = 0, half = head_n / 2;

	must(head_scan(&s, raw, half, 16384, &found, &f) == 0);
	must(head_scan(&s, raw, n, 16384, &found, &f) == 1 && found == head_n);
}

static void check_target(struct span t)
{
	struct target_pair pairs[TARGET_PAIRS];
	struct target target;
	char *store = NULL;

	if (target_read(t.p, t.n, &target))
		return;
	must(target.path[0] == '/' && target.n > 0);
	must(target_pairs(target.query, pairs, &store) <= TARGET_PAIRS);
	free(store);
	target_free(&target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *raw = (const char *)data;
	struct head_scan scan = { 0 };
	struct head mine, theirs;
	struct head_fault f;
	size_t head_n = 0;

	if (head_scan(&scan, raw, n, 16384, &head_n, &f) != 1 || head_lint(raw, head_n, &mine, &f))
		return 0;
	check_pieces(raw, n, head_n);
	check_target(mine.target);
	if (head_llhttp(raw, head_n, &theirs) == 0)
		must(head_agree(&mine, &theirs));
	return 0;
}
