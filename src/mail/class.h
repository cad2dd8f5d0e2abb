/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/sv.h"

/*
 * How soon a message matters to whoever waits for it. It comes from the user, the device, the listener or the route, never
 * from a header of the message. The numbers stand in the queue.
 */
enum mail_class {
	MAIL_CLASS_TRANSACTIONAL, /* somebody waits for it: passwords, receipts */
	MAIL_CLASS_NORMAL,
	MAIL_CLASS_BULK, /* newsletters, statements: tomorrow will do */
	MAIL_CLASS_COUNT,
};
