/* SPDX-License-Identifier: Apache-2.0
 * reaper.c - collects the QEMU processes that libvirt's embedded driver leaves behind.
 *
 * DOC: Theory of operation
 *
 * libvirt forks QEMU twice, so an ended QEMU is a zombie of the nearest subreaper, by default
 * PID 1. libvirt's destroy polls kill(pid, 0) until the process is gone. If PID 1 collects zombies
 * only every few seconds (containers), destroy takes seconds instead of one poll of 200 ms. So this
 * process becomes the subreaper and collects them at once.
 *
 * What must hold: only orphaned QEMUs are collected. libvirt waits for its direct children itself
 * and fails if their status is taken, so waitpid(-1) is not allowed. A direct child can be a QEMU,
 * too: the capability probe runs `qemu-system-... -daemonize` and waits for the parent half. An
 * orphan was made a daemon and has its own session, while direct children of libvirt stay in
 * our session. So both the name and the session are checked.
 */
#include "vmm/virt/reaper.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/fd.h"
#include "base/lag.h"

struct reaper {
	uv_signal_t signal;
	void (*done)(void *arg);
	void *arg;
};

static bool read_proc_file(const char *path, char *out, size_t n)
{
	auto_fclose FILE *f = fopen(path, "re");
	size_t len;

	if (!f)
		return false;
	len = fread(out, 1, n - 1, f);
	out[len] = '\0';
	return len > 0;
}

static bool is_orphaned_qemu(pid_t pid)
{
	char path[64], comm[32];

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	return read_proc_file(path, comm, sizeof(comm)) && !strncmp(comm, "qemu-", 5) &&
	       getsid(pid) != getsid(0);
}

/* Collect @pid if it is an orphaned QEMU. WNOWAIT leaves the status until that is known. */
static unsigned reap_child(pid_t pid)
{
	siginfo_t si = { 0 };

	if (waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG | WNOWAIT) || si.si_pid != pid)
		return 0;
	if (!is_orphaned_qemu(pid))
		return 0;
	return !waitid(P_PID, (id_t)pid, &si, WEXITED | WNOHANG) && si.si_pid == pid;
}

static unsigned reap_children_of_thread(const char *thread)
{
	char path[320];
	auto_fclose FILE *f = NULL;
	unsigned n = 0;
	int pid;

	(void)snprintf(path, sizeof(path), "/proc/self/task/%s/children", thread);
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &pid) == 1)
		n += reap_child(pid);
	return n;
}

/* Each thread lists the children that it forked. */
static unsigned reap_listed_children(void)
{
	auto_closedir DIR *threads = opendir("/proc/self/task");
	unsigned n = 0;

	if (!threads)
		return 0;
	for (struct dirent *d; (d = readdir(threads));)
		if (isdigit((unsigned char)d->d_name[0]))
			n += reap_children_of_thread(d->d_name);
	return n;
}

static bool is_our_child(pid_t pid)
{
	char path[64], stat[512];
	const char *after;
	int parent;

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (!read_proc_file(path, stat, sizeof(stat)) || !(after = strrchr(stat, ')')))
		return false;
	return sscanf(after + 1, " %*c %d", &parent) == 1 && parent == getpid();
}

static unsigned reap_all_children(void)
{
	auto_closedir DIR *proc = opendir("/proc");
	unsigned n = 0;

	if (!proc)
		return 0;
	for (struct dirent *d; (d = readdir(proc));) {
		pid_t pid = (pid_t)strtol(d->d_name, NULL, 10);

		if (pid > 0 && is_our_child(pid))
			n += reap_child(pid);
	}
	return n;
}

/* Only kernels with CONFIG_PROC_CHILDREN have the list. */
unsigned reaper_collect(void)
{
	char list[64];

	(void)snprintf(list, sizeof(list), "/proc/self/task/%d/children", (int)getpid());
	return access(list, R_OK) ? reap_all_children() : reap_listed_children();
}

static void reaper_on_child(uv_signal_t *s, int signum)
{
	(void)s;
	(void)signum;
	LAG_SECTION("signal", "child ended");
	(void)reaper_collect();
}

static void reaper_on_closed(uv_handle_t *h)
{
	struct reaper *r = h->data;
	void (*done)(void *arg) = r->done;
	void *arg = r->arg;

	free(r);
	if (done)
		done(arg);
}

int reaper_open(uv_loop_t *loop, struct reaper **ret, struct err *e)
{
	struct reaper *r = xcalloc(1, sizeof(*r));
	int err;

	if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) {
		free(r);
		return err_sys(e, errno, "become a subreaper");
	}
	err = uv_signal_init(loop, &r->signal);
	if (err) {
		free(r);
		return err_sys(e, -err, "watch child processes");
	}
	r->signal.data = r;
	err = uv_signal_start(&r->signal, reaper_on_child, SIGCHLD);
	if (err) {
		uv_close((uv_handle_t *)&r->signal, reaper_on_closed);
		return err_sys(e, -err, "watch child processes");
	}
	/* This handle must not keep the loop alive. */
	uv_unref((uv_handle_t *)&r->signal);
	*ret = r;
	return 0;
}

void reaper_close(struct reaper *r, void (*done)(void *arg), void *arg)
{
	r->done = done;
	r->arg = arg;
	uv_close((uv_handle_t *)&r->signal, reaper_on_closed);
}
