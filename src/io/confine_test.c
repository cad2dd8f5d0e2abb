/* SPDX-License-Identifier: Apache-2.0 */
#include "io/confine.h"

#include "base/err.h"
#include "base/must.h"
#include "io/file.h"
#include "io/spawn.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmocka_all.h"

/*
 * There is no way back, so each test goes into a child that confines itself as the daemon does, and tries. What the
 * kernel of this machine lacks is said and skipped.
 */
enum {
	GOOD = 0,
	BAD = 1,
	LACKING = 2, /* the kernel has not what is tried */
	PORTS = 2,
};

struct place {
	char root[100];
	char own[200], read[200], other[200], vault[300];
	uint16_t ports[PORTS]; /* the first is allowed */
	int listeners[PORTS];
};

static void PRINTF_LIKE(1, 2) say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vfprintf(stderr, fmt, ap);
	va_end(ap);
	(void)fputc('\n', stderr);
}

#define EXPECT(condition)                                                                   \
	do {                                                                                \
		errno = 0;                                                                  \
		if (!(condition)) {                                                         \
			say("%s:%d: %s (errno %d)", __FILE__, __LINE__, #condition, errno); \
			_exit(BAD);                                                         \
		}                                                                           \
	} while (0)
#define EXPECT_ERRNO(expression, error) EXPECT((expression) < 0 && errno == (error))

static void write_file(const char *path, const char *text)
{
	struct err err = { 0 };

	must(io_file_write_durably(path, sv_from(text), 0644, &err) == 0);
}

static int listen_somewhere(uint16_t *out_port)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 10) == 0 &&
		getsockname(fd, (struct sockaddr *)&at, &len) == 0);
	*out_port = ntohs(at.sin_port);
	return fd;
}

static int set_up(void **state)
{
	struct place *p = xcalloc(1, sizeof(*p));
	char path[PATH_MAX * 2];

	/* Not /tmp itself: that folder is everybody's, and is told apart. */
	(void)snprintf(p->root, sizeof(p->root), "/tmp/confine_test.XXXXXX");
	must(mkdtemp(p->root) != NULL);
	(void)snprintf(p->own, sizeof(p->own), "%s/own", p->root);
	(void)snprintf(p->read, sizeof(p->read), "%s/read", p->root);
	(void)snprintf(p->other, sizeof(p->other), "%s/other", p->root);
	(void)snprintf(p->vault, sizeof(p->vault), "%s/vault", p->other);
	must(mkdir(p->read, 0700) == 0 && mkdir(p->other, 0700) == 0);
	write_file(p->vault, "tokens of another relay");
	(void)snprintf(path, sizeof(path), "%s/key.pem", p->read);
	write_file(path, "key");
	for (int i = 0; i < PORTS; i++)
		p->listeners[i] = listen_somewhere(&p->ports[i]);
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char *words[] = { (char[]){ "rm" }, (char[]){ "-rf" }, p->root, NULL };
	const struct io_spawn what = { .words = words,
		.search = true,
		.in = IO_SPAWN_NULL,
		.out = IO_SPAWN_SAME,
		.err = IO_SPAWN_SAME };
	pid_t child;
	int status;

	char loose[300];

	(void)snprintf(loose, sizeof(loose), "%s.yaml", p->root);
	(void)unlink(loose);
	for (int i = 0; i < PORTS; i++)
		io_closep(&p->listeners[i]);
	must(io_spawn_start(&what, &child) == 0 &&
		io_spawn_wait(child, false, MONO_NEVER, &status) == 0);
	free(p);
	return 0;
}

static void enter(const struct place *p)
{
	char key[300];
	const struct io_confine_path paths[] = {
		{ p->own, true, true },
		{ key, false, false },
		{ "/nonexistent/folder/file", false, false },
		{ "/nonexistent/folder", true, false },
	};

	(void)snprintf(key, sizeof(key), "%s/key.pem", p->read);
	io_confine_enter(&(struct io_confine_plan){ .paths = paths,
		.path_count = COUNT_OF(paths),
		.ports = p->ports,
		.port_count = 1 });
	io_confine_settle();
}

/* In a child. */
static void inside(void **state, void (*attempt)(const struct place *p))
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		attempt(*state);
		_exit(GOOD);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == LACKING) {
		print_message("[  LACKS   ] this kernel cannot show it\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), GOOD);
}

/* Asked of the kernel, not of what is tested. */
static bool kernel_filters_calls(void)
{
	static const struct sock_filter all[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
	const struct sock_fprog program = { 1, (struct sock_filter *)(uintptr_t)all };
	int status = 1;
	pid_t child = fork();

	if (child == 0)
		_exit(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
			syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) != 0);
	must(waitpid(child, &status, 0) == child);
	return status == 0;
}

static int landlock_of_kernel(void)
{
	return (int)syscall(444, NULL, 0, 1);
}

static void need(bool there, const char *what)
{
	if (there)
		return;
	say("not shown here: %s (%s)", what, io_confine_state()->lacks);
	_exit(LACKING);
}

/* ---- files ---- */

static int try_read(const char *folder, const char *name)
{
	char path[PATH_MAX * 2];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	(void)close(fd);
	return 0;
}

static int try_make(const char *folder, const char *name)
{
	char path[PATH_MAX * 2];
	int fd;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	(void)close(fd);
	return unlink(path);
}

static int try_list(const char *folder)
{
	DIR *d = opendir(folder);

	if (!d)
		return -1;
	return closedir(d);
}

static void files_within(const struct place *p)
{
	struct err err = { 0 };
	char path[PATH_MAX * 2];

	enter(p);
	/* It was made: the plan writes there. */
	EXPECT(try_make(p->own, "new") == 0);
	(void)snprintf(path, sizeof(path), "%s/durable", p->own);
	EXPECT(io_file_write_durably(path, SV("text"), 0600, &err) == 0);
	EXPECT(try_list(p->own) == 0 && unlink(path) == 0);
	(void)snprintf(path, sizeof(path), "%s/below", p->own);
	EXPECT(mkdir(path, 0700) == 0 && rmdir(path) == 0);
	EXPECT(try_read(p->read, "key.pem") == 0);
	EXPECT(io_confine_may_read(p->read) && !io_confine_may_write(p->read));
	EXPECT(io_confine_may_write(p->own));
}

static void files_without(const struct place *p)
{
	char path[PATH_MAX * 2];

	enter(p);
	need(io_confine_state()->files, "files");
	EXPECT_ERRNO(try_make(p->read, "new"), EACCES);
	EXPECT_ERRNO(try_read(p->other, "vault"), EACCES);
	EXPECT_ERRNO(try_list(p->other), EACCES);
	EXPECT_ERRNO(try_make(p->other, "new"), EACCES);
	EXPECT_ERRNO(truncate(p->vault, 0), EACCES);
	EXPECT_ERRNO(unlink(p->vault), EACCES);
	EXPECT_ERRNO(try_read("/etc", "shadow"), EACCES);
	EXPECT_ERRNO(try_read("/root", ".bashrc"), EACCES);
	EXPECT_ERRNO(try_make("/tmp", "confine_test_loose"), EACCES);
	/* Neither by another name: through a link, a relative path, or /proc. */
	(void)snprintf(path, sizeof(path), "%s/link", p->own);
	EXPECT(link(p->vault, path) < 0);
	EXPECT(symlink(p->vault, path) < 0);
	(void)snprintf(path, sizeof(path), "/proc/self/root%s", p->vault);
	EXPECT_ERRNO(open(path, O_RDONLY), EACCES);
	EXPECT(!io_confine_may_read(p->vault) && !io_confine_may_read("/etc/shadow"));
	EXPECT(strcmp(io_confine_rc_text(-EACCES, p->vault), rc_text(-EACCES)) != 0);
	EXPECT(strcmp(io_confine_rc_text(-ENOENT, p->vault), rc_text(-ENOENT)) == 0);
}

/* Writes both anew when it is asked to, as an editor does: not confined. */
static int start_editor(const char *one, const char *other)
{
	int ends[2];

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	if (fork() == 0) {
		char c;

		(void)close(ends[0]);
		if (read(ends[1], &c, 1) == 1) {
			write_file(one, "new");
			write_file(other, "new");
			(void)!write(ends[1], "x", 1);
		}
		_exit(0);
	}
	(void)close(ends[1]);
	return ends[0];
}

/* In a folder of its own a file may be replaced; in one that is everybody's only this file is allowed. */
static void files_that_are_replaced(const struct place *p)
{
	char own[300], loose[300], c;
	const struct io_confine_path paths[] = { { own, false, false }, { loose, false, false } };
	int editor;

	(void)snprintf(own, sizeof(own), "%s/key.pem", p->read);
	(void)snprintf(loose, sizeof(loose), "%s.yaml", p->root);
	write_file(loose, "old");
	editor = start_editor(own, loose);
	io_confine_enter(
		&(struct io_confine_plan){ .paths = paths, .path_count = COUNT_OF(paths) });
	need(io_confine_state()->files, "files");
	EXPECT(try_read(p->read, "key.pem") == 0 && io_confine_may_read(own));
	EXPECT(try_read("", loose) == 0 && io_confine_may_read(loose));
	EXPECT_ERRNO(try_make("/tmp", "confine_test_loose"), EACCES);
	EXPECT(write(editor, "x", 1) == 1 && read(editor, &c, 1) == 1);
	EXPECT(try_read(p->read, "key.pem") == 0 && io_confine_may_read(own));
	EXPECT_ERRNO(try_read("", loose), EACCES);
	EXPECT(!io_confine_may_read(loose));
}

static void a_link_and_what_comes_after_it(const struct place *p)
{
	char link[300], target[300];
	const struct io_confine_path paths[] = { { link, false, false } };

	(void)snprintf(link, sizeof(link), "%s/live.pem", p->read);
	(void)snprintf(target, sizeof(target), "%s/archive1.pem", p->other);
	write_file(target, "one");
	EXPECT(symlink(target, link) == 0 || errno == EEXIST);
	io_confine_enter(&(struct io_confine_plan){ .paths = paths, .path_count = 1 });
	EXPECT(try_read(p->read, "live.pem") == 0);
	/* The next certificate lies beside it. */
	EXPECT(try_read(p->other, "vault") == 0);
	EXPECT(io_confine_may_read(link));
}

/* ---- what a break-in would do next ---- */

static void programs(const struct place *p)
{
	char *words[] = { (char[]){ "/bin/true" }, NULL };
	const struct io_spawn what = {
		.words = words, .in = IO_SPAWN_SAME, .out = IO_SPAWN_SAME, .err = IO_SPAWN_SAME
	};
	struct io_command_end end;
	pid_t child;

	enter(p);
	need(io_confine_state()->system_calls, "system calls");
	EXPECT(execve("/bin/true", words, NULL) < 0 && errno == EPERM);
	EXPECT(fexecve(STDIN_FILENO, words, environ) < 0 && errno == EPERM);
	EXPECT(io_spawn_start(&what, &child) != 0);
	EXPECT(io_command_run(
		       &(struct io_command){ .line = SV("/bin/true"), .timeout_us = US_PER_S },
		       &end) != 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	EXPECT_ERRNO(fork(), EPERM);
	EXPECT_ERRNO(ptrace(PTRACE_TRACEME, 0, NULL, NULL), EPERM);
#endif
	EXPECT_ERRNO(syscall(SYS_ptrace, PTRACE_ATTACH, getppid(), 0, 0), EPERM);
	EXPECT_ERRNO(syscall(SYS_setuid, 0), EPERM);
	EXPECT_ERRNO(syscall(SYS_bpf, 0, NULL, 0), EPERM);
	EXPECT_ERRNO(syscall(SYS_unshare, 0x10000000), EPERM);
}

static void memory(const struct place *p)
{
	void *page;

	enter(p);
	need(io_confine_state()->system_calls, "system calls");
	page = mmap(
		NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	EXPECT(page == MAP_FAILED);
#endif
	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(page != MAP_FAILED);
	need(io_confine_state()->memory, "memory that becomes executable");
	EXPECT(mprotect(page, 4096, PROT_READ | PROT_EXEC) < 0);
}

static int try_connect(uint16_t port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	CLEANUP(io_closep) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd < 0 ? -1 : connect(fd, (struct sockaddr *)&to, sizeof(to));
}

static void connections(const struct place *p)
{
	enter(p);
	EXPECT(try_connect(p->ports[0]) == 0);
	EXPECT(io_confine_may_connect(p->ports[0]));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	if (io_confine_state()->system_calls)
		EXPECT(socket(AF_PACKET, SOCK_RAW, 0) < 0 && socket(AF_VSOCK, SOCK_STREAM, 0) < 0);
#endif
	need(io_confine_state()->tcp, "TCP");
	EXPECT_ERRNO(try_connect(p->ports[1]), EACCES);
	EXPECT(!io_confine_may_connect(p->ports[1]));
}

static void other_processes(const struct place *p)
{
	char path[64], byte;
	struct iovec part = { &byte, 1 };

	enter(p);
	need(io_confine_state()->files && io_confine_state()->system_calls, "processes");
	(void)snprintf(path, sizeof(path), "/proc/%ld/environ", (long)getppid());
	EXPECT_ERRNO(open(path, O_RDONLY), EACCES);
	(void)snprintf(path, sizeof(path), "/proc/%ld/mem", (long)getppid());
	EXPECT(open(path, O_RDONLY) < 0);
	EXPECT(process_vm_readv(getppid(), &part, 1, &part, 1, 0) < 0);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	EXPECT(kill(getppid(), SIGTERM) < 0 && tgkill(getppid(), getppid(), SIGTERM) < 0);
#endif
}

/* ---- what must go on ---- */

static void *no_work(void *arg)
{
	io_confine_thread();
	return arg;
}

static void a_call_that_nobody_knows(const struct place *p)
{
	enter(p);
	need(io_confine_state()->system_calls, "system calls");
	EXPECT_ERRNO(syscall(4000), ENOSYS);
	EXPECT_ERRNO(syscall(SYS_keyctl, 0, 0, 0, 0, 0), EPERM);
	EXPECT_ERRNO(syscall(SYS_kexec_load, 0, 0, 0, 0), EPERM);
}

static void libraries(const struct place *p)
{
	pthread_t thread;
	struct passwd entry, *found = NULL;
	char names[4096];
	FILE *f;

	enter(p);
	EXPECT(getpwnam_r("root", &entry, names, sizeof(names), &found) == 0 && found);
	EXPECT(getpwuid_r(12345678, &entry, names, sizeof(names), &found) == 0 && !found);
	EXPECT(pthread_create(&thread, NULL, no_work, NULL) == 0 &&
		pthread_join(thread, NULL) == 0);
	f = fopen("/proc/self/status", "re");
	EXPECT(f && fgets(names, sizeof(names), f) && fclose(f) == 0);
	f = fopen("/dev/null", "we");
	EXPECT(f && fclose(f) == 0);
	EXPECT(sysconf(_SC_NPROCESSORS_ONLN) > 0);
	EXPECT(memfd_create("x", MFD_CLOEXEC) >= 0);
	free(xmalloc(64 << 20));
}

static void unix_sockets(const struct place *p)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd, peer;

	enter(p);
	EXPECT(snprintf(at.sun_path, sizeof(at.sun_path), "%s/s", p->own) > 0);
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(fd, 1) == 0);
	peer = socket(AF_UNIX, SOCK_STREAM, 0);
	EXPECT(connect(peer, (struct sockaddr *)&at, sizeof(at)) == 0);
	EXPECT(unlink(at.sun_path) == 0);
}

/* abort() is our own bug's way out: it must end the process, with its signal. */
static void abort_still_aborts(void **state)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		enter(*state);
		abort();
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void capabilities(const struct place *p)
{
	const struct sv right =
		geteuid() == 0 ? SV("\t0000000000000002") : SV("\t0000000000000000");
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(65536);
	struct err err = { 0 };
	struct sv rest, line;
	unsigned seen = 0;

	enter(p);
	EXPECT(io_file_read("/proc/self/status", 65536, &text, &err) == 0);
	rest = buf_sv(&text);
	while (rest.len) {
		(void)sv_cut_char(&rest, '\n', &line);
		if (sv_starts(line, SV("CapPrm:")) || sv_starts(line, SV("CapEff:")))
			seen += sv_find(line, right) > 0;
		else if (sv_starts(line, SV("NoNewPrivs:")))
			seen += sv_find(line, SV("1")) > 0;
	}
	EXPECT(seen == 3);
}

static void what_is_in_force_is_said(const struct place *p)
{
	char text[IO_CONFINE_TEXT_MAX];
	const struct io_confine_state *s = io_confine_state();
	const bool filters = kernel_filters_calls();
	const int landlock = landlock_of_kernel();

	EXPECT(!s->entered && io_confine_may_read("/etc/shadow") && io_confine_may_connect(1));
	enter(p);
	(void)io_confine_text(s, text);
	EXPECT(s->entered && s->no_new_privileges && strstr(text, "no new privileges"));
	EXPECT(s->system_calls == (strstr(text, "system calls") != NULL));
	EXPECT(s->files == (strstr(text, "files") != NULL));
	EXPECT(s->tcp == (strstr(text, "TCP") != NULL));
	EXPECT((s->system_calls && s->files && s->tcp) == (s->lacks[0] == '\0'));
	/* What the kernel has is in force: nothing above is skipped for a fault of ours. */
	EXPECT(s->system_calls == filters);
	EXPECT(s->files == (landlock >= 1) && s->tcp == (landlock >= 4));
}

/* As in a container, or below a unit, that forbids all of it: the daemon works, and says what it lacks. */
static void nothing_can_be_given_up(const struct place *p)
{
	static const int calls[] = { 444, 445, 446, SYS_seccomp, SYS_capset };
	struct sock_filter f[COUNT_OF(calls) + 6];
	const struct sock_fprog program = { COUNT_OF(f), f };
	const struct io_confine_state *s = io_confine_state();
	char text[IO_CONFINE_TEXT_MAX];
	unsigned n = 1 + COUNT_OF(calls);

	if (!kernel_filters_calls())
		need(false, "a filter around us");
	f[0] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < COUNT_OF(calls); i++)
		f[1 + i] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
			(unsigned)calls[i],
			(unsigned char)(COUNT_OF(calls) - i + 3),
			0);
	/* The older way to load a filter. */
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_prctl, 0, 2);
	f[n++] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args));
	f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PR_SET_SECCOMP, 1, 0);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
	EXPECT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0);
	enter(p);
	EXPECT(!s->system_calls && !s->files && !s->tcp && s->no_new_privileges);
	EXPECT(strstr(s->lacks, "capabilities") && strstr(s->lacks, "files") &&
		strstr(s->lacks, "system calls"));
	EXPECT(!strstr(io_confine_text(s, text), "capab"));
	EXPECT(io_confine_may_read("/etc/shadow") && io_confine_may_connect(1));
	EXPECT(try_read(p->other, "vault") == 0 && try_connect(p->ports[1]) == 0);
}

#define CONFINED(fn)                        \
	static void test_##fn(void **state) \
	{                                   \
		inside(state, fn);          \
	}
CONFINED(files_within)
CONFINED(files_without)
CONFINED(files_that_are_replaced)
CONFINED(a_link_and_what_comes_after_it)
CONFINED(programs)
CONFINED(memory)
CONFINED(connections)
CONFINED(other_processes)
CONFINED(a_call_that_nobody_knows)
CONFINED(libraries)
CONFINED(unix_sockets)
CONFINED(capabilities)
CONFINED(what_is_in_force_is_said)
CONFINED(nothing_can_be_given_up)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_within),
		cmocka_unit_test(test_files_without),
		cmocka_unit_test(test_files_that_are_replaced),
		cmocka_unit_test(test_a_link_and_what_comes_after_it),
		cmocka_unit_test(test_programs),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_other_processes),
		cmocka_unit_test(test_a_call_that_nobody_knows),
		cmocka_unit_test(test_libraries),
		cmocka_unit_test(test_unix_sockets),
		cmocka_unit_test(abort_still_aborts),
		cmocka_unit_test(test_capabilities),
		cmocka_unit_test(test_what_is_in_force_is_said),
		cmocka_unit_test(test_nothing_can_be_given_up),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
