/* SPDX-License-Identifier: Apache-2.0 */
#include "mail/domain_room.h"

#include "base/htable.h"
#include "base/limits.h"

/* Counts one more of its domain; how many there are. */
static uintptr_t count_domain(struct htable *domains, struct sv address)
{
	struct sv domain = sv_skip(address, (size_t)(sv_rfind_char(address, '@') + 1));
	char lower[LIMIT_DOMAIN];
	struct sv key;
	uintptr_t n;

	domain = sv_head(domain, sizeof(lower));
	for (size_t i = 0; i < domain.len; i++)
		lower[i] = domain.ptr[i] >= 'A' && domain.ptr[i] <= 'Z'
				   ? (char)(domain.ptr[i] - 'A' + 'a')
				   : domain.ptr[i];
	key = sv_make(lower, domain.len);
	n = (uintptr_t)htable_get(domains, key) + 1;
	htable_put(domains, key, (void *)n);
	return n;
}

size_t mail_domain_room(size_t count, uint32_t max, struct sv (*address)(const void *arg, size_t i),
	const void *arg)
{
	struct htable domains = { 0 };
	size_t room = 0;

	/* The usual message has few recipients: nothing to count. */
	if (max == 0 || count <= max)
		return count;
	while (room < count && count_domain(&domains, address(arg, room)) <= max)
		room++;
	htable_deinit(&domains);
	return room;
}
