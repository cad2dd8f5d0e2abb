/* SPDX-License-Identifier: Apache-2.0 */
#include "outbound/outbound_priv.h"
#include "tests/sim/sim.h"

#include <string.h>

/*
 * Three faults that the relay had, for a test that the checks find them. The linker leads calls between files
 * here (--wrap), so the product knows nothing of it; without a fault they go on to where they wanted to go.
 */
static bool one_budget, no_ttl, forgets;

bool faults_put_back(const char *name)
{
	one_budget = strcmp(name, "silent-host") == 0;
	no_ttl = strcmp(name, "ttl") == 0;
	forgets = strcmp(name, "uncertain") == 0;
	return name[0] == '\0' || one_budget || no_ttl || forgets;
}

/* A slot of what was open at the death of the relay was free again at its next start. */
bool faults_forget_uncertain(void)
{
	return forgets;
}

/* All hosts shared one budget of handshakes. */
struct endpoint *__real_endpoint_get(struct outbound *o, const struct conf_lane *c);
struct endpoint *__wrap_endpoint_get(struct outbound *o, const struct conf_lane *c);

struct endpoint *__wrap_endpoint_get(struct outbound *o, const struct conf_lane *c)
{
	static const struct conf_lane *first;

	if (!first)
		first = c;
	return __real_endpoint_get(o, one_budget ? first : c);
}

/* What waits was not looked at for its age: only an attempt that failed ended it. */
void __real_overdue_start(struct outbound *o, bool waits);
void __wrap_overdue_start(struct outbound *o, bool waits);

void __wrap_overdue_start(struct outbound *o, bool waits)
{
	if (!no_ttl)
		__real_overdue_start(o, waits);
}

void __real_overdue_expect(struct outbound *o, struct wall_time at);
void __wrap_overdue_expect(struct outbound *o, struct wall_time at);

void __wrap_overdue_expect(struct outbound *o, struct wall_time at)
{
	if (!no_ttl)
		__real_overdue_expect(o, at);
}

void __real_overdue_expect_new(struct outbound *o);
void __wrap_overdue_expect_new(struct outbound *o);

void __wrap_overdue_expect_new(struct outbound *o)
{
	if (!no_ttl)
		__real_overdue_expect_new(o);
}

bool __real_overdue_passes_over(struct lane *l, const struct store_message *m);
bool __wrap_overdue_passes_over(struct lane *l, const struct store_message *m);

bool __wrap_overdue_passes_over(struct lane *l, const struct store_message *m)
{
	return !no_ttl && __real_overdue_passes_over(l, m);
}
