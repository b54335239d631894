/* SPDX-License-Identifier: Apache-2.0
 * host_facts.h - facts about the host: CPU, KVM, TDX, SGX, devices, huge pages.
 *
 * host_check.h evaluates them. Every fact can be unknown: a container hides files, an older kernel
 * does not have them, and only root may read some.
 */
#ifndef TEEPOD_VMM_HOST_HOST_FACTS_H
#define TEEPOD_VMM_HOST_HOST_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "vmm/host/numa.h"

/* The default socket of libvirt (NEWS 11.6) and of Intel's qgsd. */
#define QGS_SOCKET_DEFAULT "/var/run/tdx-qgs/qgs.socket"

enum fact { FACT_UNKNOWN, FACT_NO, FACT_YES };
enum device_file {
	DEVICE_ABSENT,
	DEVICE_DENIED,
	DEVICE_PRESENT
}; /* DENIED: it exists, but we may not open it */
enum qgs_state {
	QGS_ABSENT,
	QGS_NO_SOCKET,
	QGS_DENIED,
	QGS_NOT_LISTENING,
	QGS_LISTENING,
	QGS_LONG
};

struct cpu_facts {
	char vendor[16]; /* "GenuineIntel"; "" = unknown, as are the other fields */
	char model[64];
	bool vmx, svm;
	bool hypervisor;  /* this host is itself a virtual machine */
	bool tdx_enabled; /* flag tdx_host_platform: the BIOS gave keys to TDX. Newer kernels do
			     not have the flag */
};

/* TDX key IDs: each TD needs one. The first private key ID is the TDX module's own. */
struct keyid_facts {
	bool reported;   /* by KVM, in the misc cgroup */
	uint64_t guests; /* number of TDs at the same time */
	bool used_known;
	uint64_t used;
	bool msr_read; /* IA32_MKTME_KEYID_PARTITIONING could be read */
	uint32_t msr_private;
};

struct host_facts {
	char kernel[64]; /* "6.16.3-amd64"; "" = unknown */
	struct cpu_facts cpu;
	bool kvm_intel;        /* the module is loaded, or built in */
	enum fact kvm_tdx;     /* its parameter tdx; UNKNOWN: no such parameter */
	enum fact hibernation; /* the kernel can hibernate; it then does not initialise TDX */
	char tdx_module[32];   /* version, "1.5.16"; "" = unknown */
	struct keyid_facts keyids;
	enum device_file kvm, sgx_enclave, sgx_provision, vhost_vsock, vfio, iommufd;
	char qgs_path[256]; /* without the root */
	enum qgs_state qgs;
	char firmware_path[256]; /* without the root */
	bool firmware;           /* the file can be read */
	bool numa_known;
	struct numa_host numa; /* owned */
	char numa_error[200];  /* why not known */
	enum fact iommu;       /* IOMMU groups exist */
	unsigned iommu_groups;
	bool memlock_known;
	uint64_t memlock;       /* bytes this process may lock; UINT64_MAX: no limit */
	bool may_raise_memlock; /* CAP_SYS_RESOURCE */
};

struct host_facts_source {
	const char *root;         /* put before every path: "" for the machine itself */
	const char *qgs_socket;   /* NULL: the default */
	const char *tdx_firmware; /* for images without firmware */
};

/* Read all facts; never fails. Free with host_facts_free(). Blocks on kernel files, and makes a
 * non-blocking connect to a local socket: for jobs and the command line. */
void host_facts_read(const struct host_facts_source *src, struct host_facts *ret);
void host_facts_free(struct host_facts *f);

#endif
