/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * Stands in for libFuzzer in a normal build: runs the target once on every file of the corpus
 * folders named on the command line, then on bytes made from a fixed seed, so that a target without
 * a corpus is still driven.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	INPUT_MAX = 1 << 20,
	MADE_INPUTS = 300
};

static int replay_file(const char *path, uint8_t *bytes)
{
	FILE *f = fopen(path, "rbe");
	size_t n;

	if (!f)
		return 0;
	n = fread(bytes, 1, INPUT_MAX, f);
	(void)fclose(f);
	(void)LLVMFuzzerTestOneInput(bytes, n);
	return 1;
}

static int replay_folder(const char *folder, uint8_t *bytes)
{
	DIR *dir = opendir(folder);
	int count = 0;

	if (!dir)
		return 0;
	for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
		char path[4096];

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		count += replay_file(path, bytes);
	}
	(void)closedir(dir);
	return count;
}

int main(int argc, char **argv)
{
	uint8_t *bytes = malloc(INPUT_MAX);
	uint64_t seed = 88172645463325252U;
	int count = 0;

	if (!bytes)
		return 1;
	for (int i = 1; i < argc; i++)
		count += replay_folder(argv[i], bytes);
	for (int i = 0; i < MADE_INPUTS; i++) {
		size_t n = (size_t)(seed % 600);

		for (size_t k = 0; k < n; k++) {
			seed ^= seed << 13;
			seed ^= seed >> 7;
			seed ^= seed << 17;
			/* Half of the bytes from what protocols are made of. */
			bytes[k] = seed & 256 ? (uint8_t)seed
					      : (uint8_t) "\r\n. :<>@=0aA-\"\\"[seed % 16];
		}
		seed += 0x9e3779b97f4a7c15U;
		(void)LLVMFuzzerTestOneInput(bytes, n);
	}
	free(bytes);
	(void)printf("replayed %d corpus files and %d made inputs\n", count, MADE_INPUTS);
	return 0;
}
