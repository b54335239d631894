/* SPDX-License-Identifier: Apache-2.0
 * host_caps_test.c - capabilities in documents of libvirt and in replies of QEMU's monitor.
 *
 * Pure functions: no hypervisor is needed. Tests with one: hypervisor_test.c.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "vmm/virt/host_caps.h"
#include "vmm/virt/monitor.h"

static const char usernet_7_2[] =
	"Hub -1 (hostnet0):\r\n"
	"  Protocol[State]    FD  Source Address  Port   Dest. Address  Port RecvQ SendQ\r\n"
	"  TCP[HOST_FORWARD]  13       127.0.0.1 18080       10.0.2.15    80     0     0\r\n"
	"  UDP[HOST_FORWARD]  14               *    53       10.0.2.15  1053     0     0\r\n"
	"  TCP[ESTABLISHED]   15       127.0.0.1 18081       10.0.2.15    81     0     0\r\n";

static void forwards_are_found_by_protocol_address_and_port(void **st)
{
	(void)st;
	assert_int_equal(usernet_find(usernet_7_2, false, "127.0.0.1", 18080, 80), FORWARD_SAME);
	assert_int_equal(usernet_find(usernet_7_2, false, "127.0.0.1", 18080, 81), FORWARD_OTHER);
	assert_int_equal(usernet_find(usernet_7_2, true, "127.0.0.1", 18080, 80), FORWARD_NONE);
	assert_int_equal(usernet_find(usernet_7_2, false, "0.0.0.0", 18080, 80), FORWARD_NONE);
	assert_int_equal(usernet_find(usernet_7_2, true, "0.0.0.0", 53, 1053), FORWARD_SAME);
	assert_int_equal(usernet_find(usernet_7_2, false, "127.0.0.1", 18081, 81), FORWARD_NONE);
	assert_int_equal(usernet_find("", false, "127.0.0.1", 18080, 80), FORWARD_NONE);
}

#define CAPS(machine, features)                                             \
	"<domainCapabilities><path>/usr/bin/qemu-x</path><machine>" machine \
	"</machine><features>" features "</features></domainCapabilities>"
#define TDX_YES                                                        \
	"<tdx supported='yes'/><launchSecurity supported='yes'><enum " \
	"name='sectype'><value>tdx</value></enum>"                     \
	"</launchSecurity>"

static void tdx_counts_only_where_both_versions_can_be_trusted(void **st)
{
	struct hv_caps c;
	struct err e;

	(void)st;
	assert_int_equal(host_caps_read(CAPS("pc-q35-11.1", TDX_YES), 12008000, 11001002, &c, &e),
			 0);
	assert_true(c.tdx);
	assert_string_equal(c.tdx_reason, "");
	assert_string_equal(c.emulator, "/usr/bin/qemu-x");
	assert_string_equal(c.libvirt, "12.8.0");
	assert_string_equal(c.qemu, "11.1.2");
	assert_int_equal(host_caps_read(CAPS("pc-q35-11.1", TDX_YES), 11009000, 11001002, &c, &e),
			 0);
	assert_false(c.tdx);
	assert_non_null(strstr(c.tdx_reason, "11.9.0"));
	assert_int_equal(host_caps_read(CAPS("pc-q35-10.0", TDX_YES), 12008000, 10000002, &c, &e),
			 0);
	assert_false(c.tdx);
	assert_non_null(strstr(c.tdx_reason, "10.0.2"));
	assert_int_equal(host_caps_read(CAPS("pc-q35-11.1", "<tdx supported='no'/>"), 12008000,
					11001002, &c, &e),
			 0);
	assert_false(c.tdx);
	assert_non_null(strstr(c.tdx_reason, "this host"));
	/* the default QEMU is new, the configured one is not */
	assert_int_equal(host_caps_read(CAPS("pc-q35-7.2", TDX_YES), 12008000, 11001002, &c, &e),
			 0);
	assert_false(c.tdx);
	assert_int_equal(host_caps_read("no xml", 12008000, 11001002, &c, &e), -ERR_HOST);
}

static void a_libvirt_whose_qemus_do_not_lock_their_pid_files_is_refused(void **st)
{
	struct hv_caps c;
	struct err e;

	(void)st;
	assert_int_equal(host_caps_read(CAPS("pc-q35-5.0", ""), 6002000, 5000000, &c, &e), 0);
	assert_int_equal(host_caps_read(CAPS("pc-q35-5.0", ""), 6001000, 5000000, &c, &e),
			 -ERR_HOST);
	assert_non_null(strstr(e.text, "libvirt 6.1.0 is too old, 6.2"));
}

#define HOSTDEV(values)                                                                       \
	"<domainCapabilities><path>/q</path><machine>pc-q35-11.1</machine><devices><hostdev " \
	"supported='yes'>"                                                                    \
	"<enum name='iommufd'>" values "</enum></hostdev></devices></domainCapabilities>"

static void iommufd_is_available_if_libvirt_reports_it(void **st)
{
	struct hv_caps c;
	struct err e;

	(void)st;
	assert_int_equal(host_caps_read(HOSTDEV("<value>yes</value><value>no</value>"), 12008000,
					11001002, &c, &e),
			 0);
	assert_true(c.iommufd);
	assert_string_equal(c.machine, "pc-q35-11.1");
	assert_int_equal(host_caps_read(HOSTDEV("<value>no</value>"), 12008000, 11001002, &c, &e),
			 0);
	assert_false(c.iommufd);
	assert_int_equal(host_caps_read(CAPS("pc-q35-7.2", ""), 9000000, 7002022, &c, &e), 0);
	assert_false(c.iommufd);
}

static bool cpu_check_is_slow(unsigned long libvirt, unsigned long qemu)
{
	char xml[128];
	struct hv_caps c;
	struct err e;

	(void)snprintf(xml, sizeof(xml),
		       "<domainCapabilities><machine>pc-q35-%lu.%lu</machine></domainCapabilities>",
		       qemu / 1000000, qemu / 1000 % 1000);
	assert_int_equal(host_caps_read(xml, libvirt, qemu, &c, &e), 0);
	return c.slow_cpu_check;
}

static void the_cpu_check_is_slow_where_libvirt_or_qemu_is_old(void **st)
{
	(void)st;
	assert_true(cpu_check_is_slow(9000000, 7002022));
	assert_true(cpu_check_is_slow(11003000, 11001002));
	assert_true(cpu_check_is_slow(12008000, 10000002));
	assert_false(cpu_check_is_slow(12008000, 11001002));
}

#define HOST(secmodels) "<capabilities><host>" secmodels "</host></capabilities>"
#define SELINUX \
	"<secmodel><model>selinux</model><baselabel type='kvm'>system_u</baselabel></secmodel>"

static void the_qemu_user_is_read_from_libvirts_dac_label(void **st)
{
	struct hv_caps c = { 0 };

	(void)st;
	host_caps_user(
		HOST(SELINUX
		     "<secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+64055:+109"
		     "</baselabel><baselabel type='qemu'>+64055:+109</baselabel></secmodel>"),
		&c);
	assert_true(c.has_user);
	assert_int_equal(c.uid, 64055);
	assert_int_equal(c.gid, 109);
	/* without root libvirt has no such model: QEMU runs as whoever libvirt is */
	host_caps_user(HOST(SELINUX), &c);
	assert_false(c.has_user);
	host_caps_user(
		HOST("<secmodel><model>dac</model><baselabel>libvirt-qemu</baselabel></secmodel>"),
		&c);
	assert_false(c.has_user);
	host_caps_user("no xml", &c);
	assert_false(c.has_user);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forwards_are_found_by_protocol_address_and_port),
		cmocka_unit_test(tdx_counts_only_where_both_versions_can_be_trusted),
		cmocka_unit_test(a_libvirt_whose_qemus_do_not_lock_their_pid_files_is_refused),
		cmocka_unit_test(iommufd_is_available_if_libvirt_reports_it),
		cmocka_unit_test(the_cpu_check_is_slow_where_libvirt_or_qemu_is_old),
		cmocka_unit_test(the_qemu_user_is_read_from_libvirts_dac_label),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
