/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "inbound/inbound.h"
#include "io/https.h"
#include "observe/alerts.h"
#include "observe/query.h"
#include "outbound/outbound.h"

/*
 * A reload of the daemon: a worker reads and checks the configuration with the secrets and certificates that it names;
 * the loop takes it over, and the lanes follow in slices. Who asks while one runs is served by the next, which reads
 * what is there then; all of those together are one.
 */
struct cli_reload;

/* All are borrowed. */
struct cli_reload_parts {
	const char *config_path, *salt_key_file;
	struct io_loop *loop;
	struct io_workers *workers;
	struct inbound *inbound;
	struct outbound *outbound;
	struct identity_tokens *tokens;
	struct io_https *https;
	struct identity_vault *vault; /* NULL: none */
	struct observe_alerts *alerts;
	struct conf **conf; /* the snapshot in force: replaced */
	void (*configured)(const struct conf *c);
	void (*reloaded)(void *arg); /* what else depends on it */
	void *reloaded_arg;
};
NODISCARD struct cli_reload *cli_reload_new(const struct cli_reload_parts *parts);
/* Before its parts. What a worker still reads is dropped. */
void cli_reload_free(struct cli_reload *r);
/* For observe_sources.reload; `waiter` NULL: nobody waits for it, the log has all. */
void cli_reload_ask(void *reload, struct observe_reload *waiter);
/* The daemon ends: nothing is begun, and the manager is told nothing, any more. */
void cli_reload_stop(struct cli_reload *r);
