/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "base/time.h"

/*
 * systemd's side of a service (sd_notify(3), sd_listen_fds(3)), without libsystemd: one datagram, a
 * few environment variables. Everything is a no-op outside systemd.
 */
void io_notify_ready(void);
/* A start, reload or stop that takes long has so much time from now on. */
void io_notify_extend(uint64_t us);
void io_notify_stopping(void);
void io_notify_reloading(void);
void io_notify_watchdog(void);
/* Half of WATCHDOG_USEC; 0 when no watchdog is asked for. */
uint64_t io_notify_watchdog_interval_us(void);

/*
 * Leaves a copy of a socket with the manager, which passes it to the next process of this service
 * (io/passed.h), or takes it out again. barrier() waits until the manager has done both.
 */
bool io_notify_has_manager(void);
void io_notify_store(int fd, struct sv name);
void io_notify_forget(struct sv name);
void io_notify_barrier(void);
