/* SPDX-License-Identifier: Apache-2.0
 * measure.h - what a verifier will see of a CVM, known before it starts.
 */
#ifndef TEEPOD_VMM_GUEST_MEASURE_H
#define TEEPOD_VMM_GUEST_MEASURE_H

#include "db/text.h"
#include "vmm/compose/compose.h"
#include "vmm/tdx/file_measures.h"
#include "vmm/tdx/mr_config.h"
#include "vmm/virt/domain_spec.h"

struct vmm;

struct cvm_row;

enum { RTMRS = 4 };

struct measurements {
	bool tdx; /* false: an ordinary VM, whose registers do not exist */
	char compose_hash[SHA256_HEX], app_id[APP_ID_TEXT], os_image_hash[SHA256_HEX];
	struct mr_config mr_config; /* owned */
	uint8_t mr_owner[TDX_MR_LEN],
		mr_owner_config[TDX_MR_LEN]; /* zeros unless the request named them */
	char *vm_config;                     /* what .sys-config.json will say, owned */
	struct measured mrtd, rtmr[RTMRS];
	bool image_firmware; /* TDX: the image's own, else the node's */
	bool lite; /* TDX: vm_config has verifiers do without RTMR0's ACPI tables (tdx_variant.h) */
};

/* [job] Pure but for files. @in: as the machine would be started; @known (may be NULL): what was
 * worked out of these files before, *ret_files: what was now. @seed_dir: the CVM's shared folder,
 * NULL: it does not exist yet. */
struct machine_in;
int measure(const struct machine_in *in, const struct file_measures *known,
	    struct measurements *ret, struct file_measures *ret_files, struct err *e);
void measurements_free(struct measurements *m);
#define auto_measurements __attribute__((cleanup(measurements_free)))

/* A borrowed *m, or NULL and why. */
typedef void measured_fn(void *arg, const struct measurements *m, const struct err *e);

/* Of @cvm with @manifest, as it would be started now; a row of a preflight (no UUID) will do. @done
 * on the loop, not before this returns; ERR_UNAVAILABLE: the hypervisor is not connected yet. Files
 * are read by a job, once for all who ask at the same time, and what was worked out is kept. */
void vmm_measure(struct vmm *v, const struct cvm_row *cvm, const char *manifest, measured_fn *done,
		 void *arg);

/* The same for a hypervisor that can @caps. */
struct hv_caps;
void measure_with(struct vmm *v, const struct hv_caps *caps, const struct cvm_row *cvm,
		  const char *manifest, measured_fn *done, void *arg);

#endif
