/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"
#include "base/time.h"

/*
 * systemd's side of a service (sd_notify(3), sd_listen_fds(3)), without libsystemd: one datagram, a
 * few environment variables. Everything is a no-op outside systemd.
 */
void io_notify_ready(void);
void io_notify_stopping(void);
void io_notify_reloading(void);
void io_notify_watchdog(void);
/* Half of WATCHDOG_USEC; 0 when no watchdog is asked for. */
uint64_t io_notify_watchdog_interval_us(void);

/* Descriptors passed by systemd start at 3; 0 when none. Names come from LISTEN_FDNAMES. */
unsigned io_notify_listen_fds(void);
struct sv io_notify_listen_name(unsigned index); /* "smtp" ; empty when unnamed */
