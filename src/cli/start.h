/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli/cli.h"
#include "conf/conf.h"

#include <sys/types.h>

/*
 * What keeps a daemon from starting although its configuration is right: ports of others, folders that it
 * cannot write. `check` looks beforehand, `serve` explains afterwards.
 */

/* Who the daemon runs as. */
struct cli_account {
	uid_t uid;
	gid_t gid;
	char name[64];
};
/*
 * For root only: the owner of data_dir, when that is another one; else, for a configuration of the system
 * (/etc/postern), the user of the packages, when there is one. False: we are not root, or it is root itself.
 * `c` may be NULL.
 */
NODISCARD bool cli_daemon_account(
	const char *config_path, const struct conf *c, struct cli_account *out_account);
/* The group of files that the daemon reads and others do not; -1: there is none, or we may not give files away. */
gid_t cli_service_group(void);
/* Of the control socket; -1: there is none. As root this process joins it, to keep the right when others are given up. */
gid_t cli_admin_group(void);
/*
 * For a command that opens the queue or the vault, or reads what strangers wrote: root becomes the daemon's user
 * first, so that no file of root's is left behind and no parser runs with root's rights. An exit code.
 */
NODISCARD int cli_become_daemon(const struct cli_context *ctx, const struct conf *c);
/* For the rest of this process, groups included. An exit code. */
NODISCARD int cli_become(const struct cli_account *account);

/* One obstacle: the text says what it is and the step. `place` may be NULL: it is about no line. */
typedef void cli_obstacle_fn(void *arg, const struct conf_place *place, const char *text);
/* Listeners whose address somebody else has, or nobody. Sees processes of others only as root. */
void cli_start_ports(const struct conf *c, cli_obstacle_fn *obstacle, void *arg);
/* Folders and files, by the rights of this process. */
void cli_start_folders(const struct conf *c, cli_obstacle_fn *obstacle, void *arg);

/* EX_CONFIG for what only a change of the file ends; EX_UNAVAILABLE and EX_TEMPFAIL: systemd tries again. */
int cli_start_exit(int code);
