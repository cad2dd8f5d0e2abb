/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/init_priv.h"
#include "io/file.h"

#include <stddef.h>

enum {
	SAMPLE_MAX = 65536
};

/*
 * The sample of packages before 0.2 names nothing but example.com and a way to nowhere: whoever has filled in a mailbox
 * or a domain of their own has touched it.
 */
bool init_is_sample(const char *path)
{
	static const char *const touched[] = {
		"\ntenants:", "\nmailboxes:", "\nusers:", "\ndevices:", "\ninclude:"
	};
	CLEANUP(buf_deinitp) struct buf text = BUF_INIT(SAMPLE_MAX);

	if (io_file_read(path, SAMPLE_MAX, &text, NULL) != 0)
		return false;
	for (size_t i = 0; i < sizeof(touched) / sizeof(touched[0]); i++)
		if (sv_find(buf_sv(&text), sv_from(touched[i])) >= 0)
			return false;
	return sv_starts(buf_sv(&text),
		       SV("# postern: the outbound mail relay for Microsoft 365.")) &&
	       sv_find(buf_sv(&text), SV("\nhostname: relay.example.com")) >= 0 &&
	       sv_find(buf_sv(&text), SV("\nqualify: example.com")) >= 0 &&
	       sv_find(buf_sv(&text), SV("{ through: nowhere }")) >= 0;
}
