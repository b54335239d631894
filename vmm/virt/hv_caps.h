/* SPDX-License-Identifier: Apache-2.0
 * hv_caps.h - capabilities of the hypervisor of this host. Read by host_caps.c.
 */
#ifndef TEEPOD_VMM_VIRT_HV_CAPS_H
#define TEEPOD_VMM_VIRT_HV_CAPS_H

#include <stdbool.h>
#include <sys/types.h>

/* Minimum version, as libvirt numbers them. Since 6.2 a QEMU locks the pid file that libvirt writes
 * (qemu_pid.c). */
enum { HV_MIN_LIBVIRT = 6002000 };

/* Minimum versions for TDX. libvirt describes TDX guests since 11.6, but
 * up to 11.9 its domain capabilities reported TDX on every host (release notes of 11.10). QEMU has
 * the tdx-guest object since 10.1. */
enum { HV_TDX_LIBVIRT = 11010000, HV_TDX_QEMU = 10001000 };

/* libvirt reads all properties of the guest's CPU at each start. Since QEMU 10.1 one command
 * (qom-list-get) returns them, and libvirt 12 uses it. Otherwise libvirt sends one command for each
 * property, some 400 in all. A domain can turn that off. */
enum { HV_CPU_CHECK_FAST_LIBVIRT = 12000000, HV_CPU_CHECK_FAST_QEMU = 10001000 };

struct hv_caps {
	char libvirt[16], qemu[16]; /* versions, "9.0.0" */
	char emulator[128];         /* path of the QEMU binary */
	char machine[64];           /* newest q35 with its version, "pc-q35-7.2"; "" = unknown */
	bool tdx;             /* both versions suffice, and the domain capabilities include TDX */
	char tdx_reason[160]; /* for people: the reason if tdx is false; else "" */
	bool iommufd;         /* libvirt, QEMU and kernel can pass host devices through iommufd */
	bool slow_cpu_check;  /* see HV_CPU_CHECK_...; a domain can turn it off */
	bool kvm;             /* /dev/kvm can be opened and the CPU has vmx or svm */
	/* libvirt is root, and runs QEMU as user @uid and group @gid. */
	bool has_user;
	uid_t uid;
	gid_t gid;
	/* has_user, and this process is not root: QEMU accesses our files through its group. */
	bool by_group;
};

#endif
