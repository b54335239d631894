/* SPDX-License-Identifier: Apache-2.0
 * measure.h - the measurements that a verifier will see of a CVM, computed before it starts.
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
	bool tdx; /* false: an ordinary VM without measurement registers */
	char compose_hash[SHA256_HEX], app_id[APP_ID_TEXT], os_image_hash[SHA256_HEX];
	struct mr_config mr_config; /* owned */
	uint8_t mr_owner[TDX_MR_LEN],
		mr_owner_config[TDX_MR_LEN]; /* zeros unless the request gave them */
	char *vm_config;                     /* vm_config of .sys-config.json, owned */
	struct measured mrtd, rtmr[RTMRS];
	bool image_firmware; /* TDX: true = firmware of the image, false = of the node */
	bool lite;           /* TDX: by vm_config, verifiers ignore the ACPI tables in RTMR0
				(tdx_variant.h) */
};

/* [job] Measure the machine of @in. Reads files, changes nothing. @known (may be NULL): results of
 * an earlier call for the same files; *ret_files: the results of this call. Free *ret with
 * measurements_free(). */
struct machine_in;
int measure(const struct machine_in *in, const struct file_measures *known,
	    struct measurements *ret, struct file_measures *ret_files, struct err *e);
void measurements_free(struct measurements *m);
#define auto_measurements __attribute__((cleanup(measurements_free)))

/* Requests that wait or are being measured, and the cached results. */
struct measuring;
struct measuring *measuring_new(void);
/* Not while a request is in progress. */
void measuring_free(struct measuring *m);

/* Called once: with borrowed measurements, or with @m NULL and the error. */
typedef void measured_fn(void *arg, const struct measurements *m, const struct err *e);

/* Measure @cvm with @manifest as it would be started now. The row of a preflight (without UUID) is
 * accepted. Calls @done on the loop thread, never before this function returns; ERR_UNAVAILABLE
 * while the hypervisor is not connected. A job reads the files once for all concurrent requests,
 * and the results are cached. */
void vmm_measure(struct vmm *v, const struct cvm_row *cvm, const char *manifest, measured_fn *done,
		 void *arg);

/* The same for a hypervisor with the capabilities @caps. */
struct hv_caps;
void measure_with(struct vmm *v, const struct hv_caps *caps, const struct cvm_row *cvm,
		  const char *manifest, measured_fn *done, void *arg);

#endif
