/* SPDX-License-Identifier: Apache-2.0 */
#include "base/secret.h"

#include "base/must.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Secrets live in pages of their own: locked (no swap), left out of core files, wiped in children that
 * fork. Blocks are powers of two; a freed one waits in the list of its size. What a service holds at
 * once is small (a password a busy mailbox, a token an identity), so pages are never given back.
 *
 * Not sodium_malloc(): with its guard pages each secret takes 16 KiB, 160 MB at 10,000 mailboxes, which
 * no limit on locked memory would allow.
 */
enum {
	BLOCK_MIN_SHIFT = 6, /* 64 bytes */
	BLOCK_MAX_SHIFT = 17,
	CLASS_COUNT = BLOCK_MAX_SHIFT - BLOCK_MIN_SHIFT + 1,
	REGION_BYTES = 1 << BLOCK_MAX_SHIFT,
};

struct secret {
	size_t len;
	unsigned shift; /* its block is 1 << shift bytes; 0: a mapping of its own */
	char bytes[];
};

struct free_block {
	struct free_block *next;
};

static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static struct free_block *pool_free[CLASS_COUNT];
static bool pool_unlocked;

static void *map_region(size_t bytes)
{
	void *region =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	must(region != MAP_FAILED);
	/* RLIMIT_MEMLOCK may forbid it: then the secret could be swapped, which the owner can ask for. */
	if (mlock(region, bytes) != 0)
		pool_unlocked = true;
	(void)madvise(region, bytes, MADV_DONTDUMP);
	(void)madvise(region, bytes, MADV_WIPEONFORK);
	return region;
}

static void put_free(void *block, unsigned shift)
{
	struct free_block *f = block;

	f->next = pool_free[shift - BLOCK_MIN_SHIFT];
	pool_free[shift - BLOCK_MIN_SHIFT] = f;
}

static void *take_free(unsigned shift)
{
	struct free_block **head = &pool_free[shift - BLOCK_MIN_SHIFT];
	struct free_block *f;

	if (!*head) {
		char *region = map_region(REGION_BYTES);

		for (size_t at = 0; at < REGION_BYTES; at += (size_t)1 << shift)
			put_free(region + at, shift);
	}
	f = *head;
	*head = f->next;
	f->next = NULL;
	return f;
}

static unsigned shift_for(size_t bytes)
{
	unsigned shift = BLOCK_MIN_SHIFT;

	while (shift <= BLOCK_MAX_SHIFT && ((size_t)1 << shift) < bytes)
		shift++;
	return shift <= BLOCK_MAX_SHIFT ? shift : 0;
}

struct secret *secret_alloc(size_t len, char **out_bytes)
{
	size_t size = sizeof(struct secret) + len + 1;
	unsigned shift = shift_for(size);
	struct secret *s;

	must(pthread_mutex_lock(&pool_lock) == 0);
	s = shift ? take_free(shift) : map_region(size);
	must(pthread_mutex_unlock(&pool_lock) == 0);
	s->shift = shift;
	s->len = len;
	*out_bytes = s->bytes;
	return s;
}

struct secret *secret_new(struct sv bytes)
{
	char *at;
	struct secret *s = secret_alloc(bytes.len, &at);

	if (bytes.len)
		memcpy(at, bytes.ptr, bytes.len);
	return s;
}

void secret_free(struct secret *s)
{
	unsigned shift;
	size_t size;

	if (!s)
		return;
	shift = s->shift;
	size = sizeof(*s) + s->len + 1;
	secret_wipe(s, size);
	if (!shift) {
		(void)munmap(s, size);
		return;
	}
	must(pthread_mutex_lock(&pool_lock) == 0);
	put_free(s, shift);
	must(pthread_mutex_unlock(&pool_lock) == 0);
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

bool secret_memory_is_locked(void)
{
	bool locked;

	must(pthread_mutex_lock(&pool_lock) == 0);
	locked = !pool_unlocked;
	must(pthread_mutex_unlock(&pool_lock) == 0);
	return locked;
}

void secret_wipe(void *ptr, size_t len)
{
	explicit_bzero(ptr, len);
}
