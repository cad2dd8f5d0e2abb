/* SPDX-License-Identifier: Apache-2.0 */
#include "observe/alerts.h"

#include "cmocka_all.h"

/* Computed with Python's hmac, so that a receiver written elsewhere finds the same. */
static void a_signature_is_what_others_compute(void **state)
{
	char out[OBSERVE_SIGNATURE_MAX];

	(void)state;
	observe_alert_sign(SV("key"), 1764074407, SV("{\"event\":\"parked\"}"), out);
	assert_string_equal(out,
		"t=1764074407,v1=badf9e54d6f98148db1ff970620473148380fd266ad8061936c760944a20fa6b");
	observe_alert_sign(SV("key"), 1764074408, SV("{\"event\":\"parked\"}"), out);
	assert_string_not_equal(
		out + 13, "v1=badf9e54d6f98148db1ff970620473148380fd266ad8061936c760944a20fa6b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_signature_is_what_others_compute),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
