/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "io/confine_priv.h"

#include <errno.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#endif

/*
 * A list of what is allowed; everything else fails with ENOSYS and is reported by the kernel's audit (type=1326).
 * Not one call kills: a C library, a name service module or a sanitizer that wants one which is not listed has a
 * way without it, since kernels without that call exist. What a break-in would want first says EPERM, so that
 * nobody looks for a fault of the kernel.
 */
static const char allowed[] =
	/* descriptors */
	"read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 lseek _llseek "
	"close close_range dup dup2 dup3 fcntl fcntl64 pipe pipe2 eventfd eventfd2 poll ppoll "
	"ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create epoll_create1 "
	"epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2 sendfile "
	"sendfile64 inotify_init inotify_init1 inotify_add_watch inotify_rm_watch timerfd_create "
	"timerfd_settime timerfd_settime64 timerfd_gettime timerfd_gettime64 signalfd signalfd4 "
	"memfd_create copy_file_range "
	/* files; where to, Landlock says */
	"open openat openat2 creat access faccessat faccessat2 stat stat64 lstat lstat64 fstat "
	"fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs fstatfs64 getdents getdents64 "
	"getcwd readlink readlinkat mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2 "
	"link linkat chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 lchown "
	"lchown32 fchownat utime utimes futimesat utimensat utimensat_time64 truncate truncate64 "
	"ftruncate ftruncate64 fallocate fadvise64 fadvise64_64 arm_fadvise64_64 readahead fsync "
	"fdatasync sync_file_range sync_file_range2 arm_sync_file_range syncfs flock umask "
	/* memory */
	"brk munmap mremap madvise mincore msync mlock mlock2 munlock membarrier getrandom "
	"cacheflush riscv_flush_icache "
	/* threads and time */
	"futex futex_time64 futex_waitv futex_wake futex_wait futex_requeue set_robust_list "
	"get_robust_list set_tid_address set_thread_area get_thread_area set_tls arch_prctl rseq "
	"exit exit_group sched_yield sched_getaffinity sched_getparam sched_getscheduler "
	"sched_get_priority_max sched_get_priority_min getcpu clock_gettime clock_gettime64 "
	"adjtimex clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_nanosleep "
	"clock_nanosleep_time64 nanosleep "
	"gettimeofday time times restart_syscall timer_create timer_settime timer_settime64 "
	"timer_delete setitimer getitimer alarm pause "
	/* signals */
	"rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait "
	"rt_sigtimedwait_time64 sigaction sigprocmask sigreturn sigpending sigsuspend sigaltstack "
	/* who and where am I */
	"getpid gettid getppid getpgid getpgrp getsid getuid getuid32 geteuid geteuid32 getgid "
	"getgid32 getegid getegid32 getgroups getgroups32 getresuid getresuid32 getresgid "
	"getresgid32 getrlimit ugetrlimit getrusage getpriority sysinfo uname capget capset wait4 "
	"waitid waitpid "
	/* sockets; which families, below */
	"bind connect listen accept accept4 getsockname getpeername getsockopt setsockopt send "
	"sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64 shutdown "
	"socketpair socketcall "
	/* the second filter is loaded by it, and ends it */
	"seccomp ";

#ifdef SANITIZED
/* What looks for leaks at the end forks, and stops its other threads. */
static const char for_sanitizers[] =
	"clone fork vfork ptrace prctl mmap mmap2 mprotect personality kill tgkill "
	"process_vm_readv prlimit64 ioctl socket ";
#endif

/*
 * Refused in a filter of its own, whose refusals are not logged: libraries try these before they take the older
 * call.
 */
static const char quiet[] = "clone3 io_uring_setup seccomp ";

/* What follows a break-in. */
static const char refused[] =
	"execve execveat fork vfork ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd "
	"mount umount2 pivot_root chroot unshare setns bpf perf_event_open init_module "
	"finit_module delete_module kexec_load reboot add_key request_key keyctl userfaultfd "
	"mknod mknodat symlink symlinkat setuid setgid setresuid setresgid setreuid setregid "
	"setgroups name_to_handle_at open_by_handle_at personality setxattr lsetxattr fsetxattr "
	"acct swapon settimeofday clock_settime sethostname ";

enum {
	NAME_MAX_LEN = 64 /* of a call */
};

/* Where clone(2) has its flags. */
#if defined(__s390__) || defined(__CRIS__)
#define CLONE_FLAGS_AT 1
#else
#define CLONE_FLAGS_AT 0
#endif

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#ifndef SANITIZED
static const uint64_t families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };
static const uint64_t prctls[] = { PR_SET_NAME,
	PR_GET_NAME,
	PR_SET_VMA,
	PR_GET_DUMPABLE,
	PR_CAPBSET_READ,
	PR_GET_NO_NEW_PRIVS,
	PR_GET_SECCOMP,
	/* How the second filter comes where seccomp(2) is refused to us. */
	PR_SET_SECCOMP };
/* What sockets, files and isatty(3) ask; no TIOCSTI, which types on a terminal. */
static const uint64_t ioctls[] = {
	FIONBIO, FIONREAD, FIOCLEX, FIONCLEX, TCGETS, TIOCGWINSZ, TIOCOUTQ
};
#endif

/* A call that this library or this processor does not know is left out: the kernel would not have been asked. */
static int add(scmp_filter_ctx f, uint32_t action, const char *name, unsigned count,
	const struct scmp_arg_cmp *args)
{
	int call = seccomp_syscall_resolve_name(name), rc;

	if (call == __NR_SCMP_ERROR)
		return 0;
	rc = seccomp_rule_add_array(f, action, call, count, args);
	/* -EDOM: there is no such call here. -EACCES: it is the filter's usual action. */
	return rc == -EDOM || rc == -EACCES || rc == -EEXIST ? 0 : rc;
}

/* `names` with blanks between them. */
static int add_all(scmp_filter_ctx f, uint32_t action, const char *names)
{
	struct sv rest = sv_from(names), name;
	int rc = 0;

	while (rc == 0 && rest.len) {
		char text[NAME_MAX_LEN];

		(void)sv_cut_char(&rest, ' ', &name);
		(void)snprintf(text, sizeof(text), "%.*s", SV_ARG(name));
		if (name.len)
			rc = add(f, action, text, 0, NULL);
	}
	return rc;
}

#ifndef SANITIZED

static int add_each_value(
	scmp_filter_ctx f, const char *name, unsigned arg, const uint64_t *values, size_t count)
{
	int rc = 0;

	for (size_t i = 0; i < count && rc == 0; i++)
		rc = add(f,
			SCMP_ACT_ALLOW,
			name,
			1,
			&(struct scmp_arg_cmp){
				.arg = arg, .op = SCMP_CMP_EQ, .datum_a = values[i] });
	return rc;
}

static int add_masked(scmp_filter_ctx f, uint32_t action, const char *name, unsigned arg,
	uint64_t mask, uint64_t value)
{
	return add(f,
		action,
		name,
		1,
		&(struct scmp_arg_cmp){
			.arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value });
}

/* Memory that is writable and executable at once is for nobody. */
static int add_memory(scmp_filter_ctx f, const char *name)
{
	int rc = add_masked(f, SCMP_ACT_ALLOW, name, 2, PROT_EXEC, 0);

	return rc ? rc : add_masked(f, SCMP_ACT_ALLOW, name, 2, PROT_EXEC | PROT_WRITE, PROT_EXEC);
}

/* By what the arguments are. */
static int add_parts(scmp_filter_ctx f)
{
	const uint64_t own = (uint64_t)getpid(), null = 0;
	int rc = add_masked(f, SCMP_ACT_ALLOW, "clone", CLONE_FLAGS_AT, CLONE_THREAD, CLONE_THREAD);

	if (rc == 0)
		rc = add_masked(f, SCMP_ACT_ERRNO(EPERM), "clone", CLONE_FLAGS_AT, CLONE_THREAD, 0);
	if (rc == 0)
		rc = add_memory(f, "mmap");
	if (rc == 0)
		rc = add_memory(f, "mmap2");
	if (rc == 0)
		rc = add_memory(f, "mprotect");
	if (rc == 0)
		rc = add_each_value(f, "socket", 0, families, COUNT_OF(families));
	if (rc == 0)
		rc = add_each_value(f, "prctl", 0, prctls, COUNT_OF(prctls));
	if (rc == 0)
		rc = add_each_value(f, "ioctl", 1, ioctls, COUNT_OF(ioctls));
	/* abort() and pthread_kill(): to ourselves. */
	if (rc == 0)
		rc = add_each_value(f, "tgkill", 0, &own, 1);
	/* Is there such a process? And limits are asked for, not set. */
	if (rc == 0)
		rc = add_each_value(f, "kill", 1, &null, 1);
	if (rc == 0)
		rc = add_each_value(f, "prlimit64", 2, &null, 1);
	return rc;
}

#endif

static int fill(scmp_filter_ctx f)
{
	int rc = add_all(f, SCMP_ACT_ALLOW, allowed);

#ifdef SANITIZED
	if (rc == 0)
		rc = add_all(f, SCMP_ACT_ALLOW, for_sanitizers);
#else
	if (rc == 0)
		rc = add_parts(f);
#endif
	if (rc == 0)
		rc = add_all(f, SCMP_ACT_ERRNO(EPERM), refused);
	return rc;
}

static int fill_quiet(scmp_filter_ctx f)
{
	return add_all(f, SCMP_ACT_ERRNO(ENOSYS), quiet);
}

static int load(uint32_t usual, bool log, int (*fill_in)(scmp_filter_ctx f))
{
	scmp_filter_ctx f = seccomp_init(usual);
	int rc;

	must(f != NULL);
	/* Calls of another processor's table. */
	(void)seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
	/* That is done, and the first filter would refuse it to the second. */
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_NNP, 0);
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_LOG, log);
	(void)seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	must(fill_in(f) == 0);
	rc = seccomp_load(f);
	seccomp_release(f);
	return rc;
}

const char *io_confine_calls(struct io_confine_state *state)
{
	state->system_calls = load(SCMP_ACT_ERRNO(ENOSYS), true, fill) == 0 &&
			      load(SCMP_ACT_ALLOW, false, fill_quiet) == 0;
	return state->system_calls ? NULL : "system calls (the kernel takes no seccomp filter)";
}
