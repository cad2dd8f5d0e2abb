/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/attr.h"
#include "base/sv.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A process gives up, for good, what it does not need: capabilities, new privileges, files outside of named
 * folders and TCP ports outside of a list (Landlock), system calls outside of a list (seccomp). Each part as far
 * as the kernel has it; what it lacks is said, not fatal (docs/threat-model.md).
 */
struct io_confine_path {
	const char *path; /* a folder with all below it, or a file: the folder that it is in */
	bool write;       /* a folder: files are made, changed and removed there */
	bool make;        /* and it is made when it is missing */
};

struct io_confine_plan {
	const struct io_confine_path *paths; /* besides what libraries and name look-ups read */
	size_t path_count;
	const uint16_t *ports; /* what may be connected to over TCP */
	size_t port_count;
};

struct io_confine_state {
	bool entered;
	bool no_new_privileges, no_capabilities, system_calls, files, tcp, memory;
	unsigned landlock; /* its version; 0: the kernel has none */
	bool bind_low;     /* may still listen below 1024: until io_confine_settle() */
	bool overrides;    /* root keeps CAP_DAC_OVERRIDE: the files of the maildrop are others' */
	char lacks[200];   /* "files (no Landlock in this kernel), ..."; empty: nothing */
};

/*
 * Before any thread is begun: threads inherit it. A folder that is missing is not reached later, either.
 */
void io_confine_enter(const struct io_confine_plan *plan);
/* The listeners are open: the last capability goes. */
void io_confine_settle(void);
/* Each thread of ours calls this first: a capability belongs to a thread. */
void io_confine_thread(void);
const struct io_confine_state *io_confine_state(void);
/* "system calls (seccomp), files and TCP (Landlock 7), ...": what is in force; returns `out`. */
enum {
	IO_CONFINE_TEXT_MAX = 256
};
const char *io_confine_text(const struct io_confine_state *s, char out[IO_CONFINE_TEXT_MAX]);

/* What this process may still reach. True for everything that is not confined. */
NODISCARD bool io_confine_may_read(const char *path);
NODISCARD bool io_confine_may_write(const char *folder);
NODISCARD bool io_confine_may_connect(uint16_t port);
/* Why a file cannot be opened: rc_text(), or that this process may not look there, and what to do. */
const char *io_confine_rc_text(int rc, const char *path);
