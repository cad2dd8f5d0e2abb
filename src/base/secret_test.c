/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include "cmocka_all.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static uintptr_t read_hex(const char **text)
{
	static const char digits[] = "0123456789abcdef";
	uintptr_t value = 0;

	for (const char *d = strchr(digits, **text); **text && d; d = strchr(digits, **text)) {
		value = value * 16 + (uintptr_t)(d - digits);
		(*text)++;
	}
	return value;
}

/* "VmFlags: rd wr mr mw me lo dd wf ...": locked, not dumped, wiped on fork. */
static bool page_has_flag(const void *at, const char *flag)
{
	FILE *maps = fopen("/proc/self/smaps", "re");
	char line[512];
	bool here = false, found = false;

	assert_non_null(maps);
	while (fgets(line, sizeof(line), maps)) {
		const char *text = line;
		uintptr_t from = read_hex(&text), to = 0;

		if (*text == '-') {
			text++;
			to = read_hex(&text);
			here = (uintptr_t)at >= from && (uintptr_t)at < to;
		} else if (here && strncmp(line, "VmFlags:", 8) == 0) {
			found = strstr(line, flag) != NULL;
		}
	}
	(void)fclose(maps);
	return found;
}

static void secrets_live_in_guarded_memory(void **state)
{
	static char large[200000];
	const size_t sizes[] = { 0, 1, 40, 64, 4000, 65536, 131072, sizeof(large) };
	struct secret *kept[COUNT_OF(sizes)];

	(void)state;
	memset(large, 'x', sizeof(large));
	for (size_t i = 0; i < COUNT_OF(sizes); i++)
		kept[i] = secret_new(sv_make(large, sizes[i]));
	for (size_t i = 0; i < COUNT_OF(sizes); i++) {
		struct sv bytes = secret_reveal(kept[i]);

		assert_true(sv_eq(bytes, sv_make(large, sizes[i])));
		assert_int_equal(bytes.ptr[bytes.len], 0);
		assert_true(page_has_flag(kept[i], " dd"));
		/* The sanitizers leave mlock() out. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
		if (secret_memory_is_locked())
			assert_true(page_has_flag(kept[i], " lo"));
#endif
		secret_free(kept[i]);
	}
}

static void secrets_leave_nothing_behind(void **state)
{
	struct secret *s = secret_new(SV("correct horse battery staple")), *next;
	const char *was = secret_reveal(s).ptr;
	pid_t child;
	int status;

	(void)state;
	/* A child has nothing of it. */
	child = fork();
	if (child == 0)
		_exit(sv_eq(sv_make(was, 7), SV("correct")) ? 1 : 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	secret_free(s);
	next = secret_new(SV("")); /* the same class of blocks: the same place */
	for (size_t i = 1; i < 28; i++)
		assert_int_equal(was[i], 0);
	secret_free(next);
}

#if defined(__x86_64__)
/* The upper registers, which memcpy() uses and little else: those that held a secret. */
__attribute__((target("avx512f,avx512vl"))) static void upper_registers_are_forgotten(void)
{
	const char pattern[17] = "correct horse ba";
	char after[17] = "";

	__asm__ volatile("vmovdqu64 (%0), %%xmm20" ::"r"(pattern) : "xmm20");
	secret_forget_registers();
	__asm__ volatile("vmovdqu64 %%xmm20, (%0)" ::"r"(after) : "memory");
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(after[i], 0);
}
#endif

/* What a copy has left, as long as nobody else used the register. */
static void registers_are_forgotten(void **state)
{
	(void)state;
#if defined(__x86_64__)
	const char pattern[17] = "correct horse ba";
	char after[17] = "";

	__asm__ volatile("movdqu (%0), %%xmm15" ::"r"(pattern) : "xmm15");
	secret_forget_registers();
	__asm__ volatile("movdqu %%xmm15, (%0)" ::"r"(after) : "memory");
	for (size_t i = 0; i < 16; i++)
		assert_int_equal(after[i], 0);
	if (__builtin_cpu_supports("avx512vl"))
		upper_registers_are_forgotten();
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_live_in_guarded_memory),
		cmocka_unit_test(secrets_leave_nothing_behind),
		cmocka_unit_test(registers_are_forgotten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
