/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include "base/must.h"

#include <stdlib.h>
#include <string.h>

struct secret {
	size_t len;
	char bytes[];
};

struct secret *secret_new(struct sv bytes)
{
	struct secret *s = xmalloc(sizeof(*s) + bytes.len + 1);

	s->len = bytes.len;
	if (bytes.len)
		memcpy(s->bytes, bytes.ptr, bytes.len);
	s->bytes[bytes.len] = '\0';
	return s;
}

void secret_free(struct secret *s)
{
	if (!s)
		return;
	secret_wipe(s, sizeof(*s) + s->len);
	free(s);
}

struct sv secret_reveal(const struct secret *s)
{
	return s ? sv_make(s->bytes, s->len) : sv_make(NULL, 0);
}

bool secret_eq(const struct secret *s, struct sv bytes)
{
	unsigned char difference = 0;

	if (s->len != bytes.len)
		return false;
	for (size_t i = 0; i < bytes.len; i++)
		difference |= (unsigned char)(s->bytes[i] ^ bytes.ptr[i]);
	return difference == 0;
}

void secret_wipe(void *ptr, size_t len)
{
	explicit_bzero(ptr, len);
}
