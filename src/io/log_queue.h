/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Lines on their way out of the process. Before log_queue_start() each is written at once. From then on
 * at once where that cannot wait for anybody (a file, a pipe or the journal with room), else by a thread:
 * a reader that stalls costs lines, never mail. What waits is bounded (LIMIT_LOG_WAITING); what does not
 * fit is counted, and the count stands in the log where the lines would have stood.
 */
struct log_entry {
	struct log_entry *next;
	int journal;     /* a datagram for this socket first; -1: only for standard error */
	bool urgent;     /* a warning or an error: may use the last quarter of the room, too */
	uint64_t lost;   /* lines lost just before it; set by the queue */
	size_t len;      /* of bytes */
	size_t text_at;  /* where standard error's part begins; it ends with the last byte */
	size_t text_len; /* of it, with its line end */
	char bytes[];
};

/* `notice` makes the line that says how many were lost. */
void log_queue_start(struct log_entry *(*notice)(uint64_t lost));
/* Writes what waits, but waits LOG_STOP_MS at most for a reader that stalls. Lines are written at once
 * again afterwards, unless the thread still hangs: then they are lost. */
void log_queue_stop(void);
void log_queue_put(struct log_entry *e); /* takes it */
uint64_t log_queue_lost(void);           /* lines, since the start */
