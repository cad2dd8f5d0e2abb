/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

/*
 * memcpy() of glibc goes through the wide registers, and leaves in them what it copied last: up to 64 bytes each, of which those
 * from the sixteenth on are used by little else. A core file has the registers of every thread.
 */
#if defined(__x86_64__)

/* clang-format off */
static void clear_sse(void)
{
	__asm__ volatile(
		"pxor %%xmm0, %%xmm0\n\t"
		"pxor %%xmm1, %%xmm1\n\t"
		"pxor %%xmm2, %%xmm2\n\t"
		"pxor %%xmm3, %%xmm3\n\t"
		"pxor %%xmm4, %%xmm4\n\t"
		"pxor %%xmm5, %%xmm5\n\t"
		"pxor %%xmm6, %%xmm6\n\t"
		"pxor %%xmm7, %%xmm7\n\t"
		"pxor %%xmm8, %%xmm8\n\t"
		"pxor %%xmm9, %%xmm9\n\t"
		"pxor %%xmm10, %%xmm10\n\t"
		"pxor %%xmm11, %%xmm11\n\t"
		"pxor %%xmm12, %%xmm12\n\t"
		"pxor %%xmm13, %%xmm13\n\t"
		"pxor %%xmm14, %%xmm14\n\t"
		"pxor %%xmm15, %%xmm15\n\t"
		::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

__attribute__((target("avx"))) static void clear_avx(void)
{
	__asm__ volatile("vzeroall" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
}

/* By their lower part, which clears the rest and keeps the processor at its speed. */
__attribute__((target("avx512f,avx512vl"))) static void clear_evex(void)
{
	__asm__ volatile(
		"vpxord %%xmm16, %%xmm16, %%xmm16\n\t"
		"vpxord %%xmm17, %%xmm17, %%xmm17\n\t"
		"vpxord %%xmm18, %%xmm18, %%xmm18\n\t"
		"vpxord %%xmm19, %%xmm19, %%xmm19\n\t"
		"vpxord %%xmm20, %%xmm20, %%xmm20\n\t"
		"vpxord %%xmm21, %%xmm21, %%xmm21\n\t"
		"vpxord %%xmm22, %%xmm22, %%xmm22\n\t"
		"vpxord %%xmm23, %%xmm23, %%xmm23\n\t"
		"vpxord %%xmm24, %%xmm24, %%xmm24\n\t"
		"vpxord %%xmm25, %%xmm25, %%xmm25\n\t"
		"vpxord %%xmm26, %%xmm26, %%xmm26\n\t"
		"vpxord %%xmm27, %%xmm27, %%xmm27\n\t"
		"vpxord %%xmm28, %%xmm28, %%xmm28\n\t"
		"vpxord %%xmm29, %%xmm29, %%xmm29\n\t"
		"vpxord %%xmm30, %%xmm30, %%xmm30\n\t"
		"vpxord %%xmm31, %%xmm31, %%xmm31\n\t"
		::: "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31");
}
/* clang-format on */

void secret_forget_registers(void)
{
	if (__builtin_cpu_supports("avx"))
		clear_avx();
	else
		clear_sse();
	if (__builtin_cpu_supports("avx512vl"))
		clear_evex();
}

#else

/* Elsewhere the registers are narrower, and are written over by whatever comes next. */
void secret_forget_registers(void)
{
}

#endif
