/* SPDX-License-Identifier: Apache-2.0
 * host_facts.h - what the machine says of itself: CPU, KVM, TDX, SGX, devices, huge pages.
 *
 * Facts without judgement (that is host_check.h). Every one can be unknown: a container hides
 * files, an older kernel does not have them, and a user who is not root may not read them.
 */
#ifndef TEEPOD_VMM_HOST_HOST_FACTS_H
#define TEEPOD_VMM_HOST_HOST_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/host/numa.h"

/* Where libvirt (NEWS 11.6) and Intel's qgsd look for each other when nothing else is said. */
#define QGS_SOCKET_DEFAULT "/var/run/tdx-qgs/qgs.socket"

enum fact { FACT_UNKNOWN, FACT_NO, FACT_YES };
enum device_file {
	DEVICE_ABSENT,
	DEVICE_DENIED,
	DEVICE_THERE
}; /* DENIED: there, and not for us to open */
enum qgs_state { QGS_ABSENT, QGS_NO_SOCKET, QGS_DENIED, QGS_DEAF, QGS_ANSWERS, QGS_LONG };

struct cpu_facts {
	char vendor[16]; /* "GenuineIntel"; "" = unknown, and then so is the rest */
	char model[64];
	bool vmx, svm;
	bool hypervisor;  /* we are a guest ourselves */
	bool tdx_enabled; /* listed as tdx_host_platform: the BIOS has given keys to TDX. Newer
			     kernels do not list it */
};

/* Key ids that encrypt TDs, one each. The first private one is the TDX module's own. */
struct keyid_facts {
	bool told;       /* by KVM, in the misc cgroup */
	uint64_t guests; /* that many TDs at once */
	bool used_told;
	uint64_t used;
	bool msr_read; /* IA32_MKTME_KEYID_PARTITIONING could be read */
	uint32_t msr_private;
};

struct host_facts {
	char kernel[64]; /* "6.16.3-amd64"; "" = unknown */
	struct cpu_facts cpu;
	bool kvm_intel;        /* the module is loaded, or built in */
	enum fact kvm_tdx;     /* its parameter tdx; UNKNOWN: it has none */
	enum fact hibernation; /* the kernel could hibernate: then it does not initialise TDX */
	char tdx_module[32];   /* version, "1.5.16"; "" = not told */
	struct keyid_facts keyids;
	enum device_file kvm, sgx_enclave, sgx_provision, vhost_vsock, vfio, iommufd;
	char qgs_path[256]; /* without the root */
	enum qgs_state qgs;
	char firmware_path[256]; /* without the root */
	bool firmware;           /* a file that can be read */
	bool numa_known;
	struct numa_host numa; /* owned */
	char numa_error[200];  /* why not known */
	enum fact iommu;       /* there are groups */
	unsigned iommu_groups;
	bool memlock_known;
	uint64_t memlock;       /* bytes this process may lock; UINT64_MAX: no limit */
	bool may_raise_memlock; /* CAP_SYS_RESOURCE */
};

struct host_facts_source {
	const char *root;         /* put before every path: "" for the machine itself */
	const char *qgs_socket;   /* NULL: the default */
	const char *tdx_firmware; /* for images that bring none */
};

/* Read everything there is; never fails. Free with host_facts_free(). Blocking, but only on kernel
 * files and a local socket that is connected to without waiting: for jobs and the command line. */
void host_facts_read(const struct host_facts_source *src, struct host_facts *ret);
void host_facts_free(struct host_facts *f);

#endif
