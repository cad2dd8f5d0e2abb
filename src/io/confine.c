/* SPDX-License-Identifier: Apache-2.0 */
#include "io/confine.h"

#include "base/err.h"
#include "base/must.h"
#include "io/confine_priv.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1
#endif

#define BIT(capability) (UINT64_C(1) << (capability))

/* Written before there are threads; after that only io_confine_settle() changes `bind_low`. */
static struct io_confine_state state;

const struct io_confine_state *io_confine_state(void)
{
	return &state;
}

/* ---- capabilities ---- */

/* Of this thread. Those of `keep` that it has stay; those that a child inherits go with the others. */
static bool keep_capabilities(uint64_t keep)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct has[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	uint32_t any = 0;

	if (syscall(SYS_capget, &head, has) != 0)
		return false;
	for (unsigned i = 0; i < COUNT_OF(has); i++) {
		any |= has[i].permitted & ~(uint32_t)(keep >> (32 * i));
		any |= has[i].inheritable;
		has[i].permitted &= (uint32_t)(keep >> (32 * i));
		has[i].effective = has[i].permitted;
		has[i].inheritable = 0;
	}
	return !any || syscall(SYS_capset, &head, has) == 0;
}

static uint64_t kept(void)
{
	return (state.bind_low ? BIT(CAP_NET_BIND_SERVICE) : 0) |
	       (state.overrides ? BIT(CAP_DAC_OVERRIDE) : 0);
}

/* Nothing that we start later could have them either; only with CAP_SETPCAP. */
static void bound_capabilities(void)
{
	for (int c = 0; c <= CAP_LAST_CAP; c++)
		if (!(kept() & BIT(c)) && prctl(PR_CAPBSET_DROP, c, 0, 0, 0) != 0 && errno == EPERM)
			return;
}

void io_confine_settle(void)
{
	if (!state.entered)
		return;
	state.bind_low = false;
	(void)keep_capabilities(kept());
}

void io_confine_thread(void)
{
	if (state.entered)
		(void)keep_capabilities(kept() & ~BIT(CAP_NET_BIND_SERVICE));
}

/* ---- all of it ---- */

static void note_lack(const char *what)
{
	size_t len = strlen(state.lacks);

	if (what)
		(void)snprintf(state.lacks + len,
			sizeof(state.lacks) - len,
			"%s%s",
			len ? ", " : "",
			what);
}

void io_confine_enter(const struct io_confine_plan *plan)
{
	must(!state.entered);
	state.entered = true;
	state.bind_low = true;
	state.overrides = geteuid() == 0;
	bound_capabilities();
	state.no_capabilities = keep_capabilities(kept());
	if (!state.no_capabilities)
		note_lack("capabilities (they cannot be given up here)");
	state.no_new_privileges = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
	state.memory = prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) == 0;
	note_lack(io_confine_files(plan, &state));
	note_lack(io_confine_calls(&state));
}

const char *io_confine_rc_text(int rc, const char *path)
{
	if (rc == -EACCES && state.files && !io_confine_may_read(path))
		return "it is outside of the folders that this daemon reads since its start: "
		       "restart "
		       "postern";
	return rc_text(rc);
}

const char *io_confine_text(const struct io_confine_state *s, char out[IO_CONFINE_TEXT_MAX])
{
	size_t len = 0;
	char landlock[64] = "";
	const char *const parts[] = {
		s->system_calls ? "system calls (seccomp)" : NULL,
		s->files ? landlock : NULL,
		s->memory ? "no memory both written and run" : NULL,
		s->no_new_privileges ? "no new privileges" : NULL,
		!s->no_capabilities ? NULL
		: s->overrides      ? "no capability but dac_override, since it runs as root"
				    : "no capabilities",
	};

	(void)snprintf(landlock,
		sizeof(landlock),
		"%s (Landlock %u)",
		s->tcp ? "files and TCP" : "files",
		s->landlock);
	out[0] = '\0';
	for (size_t i = 0; i < COUNT_OF(parts); i++)
		if (parts[i] && len < IO_CONFINE_TEXT_MAX)
			len += (size_t)snprintf(out + len,
				IO_CONFINE_TEXT_MAX - len,
				"%s%s",
				len ? ", " : "",
				parts[i]);
	return out;
}
