/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/cli.h"
#include "io/file.h"

#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A purge of the package deletes what is listed here, and no other secret (debian/postern.postrm). */
#define CONFIG_FOLDER "/etc/postern"
#define LIST CONFIG_FOLDER "/.made-by-postern"

void cli_made(const char *path)
{
	char folder[PATH_MAX], name[PATH_MAX], real[PATH_MAX], line[2 * PATH_MAX];
	CLEANUP(io_closep) int fd = -1;
	size_t root = sizeof(CONFIG_FOLDER) - 1;
	int n;

	if (strlen(path) >= sizeof(folder) || strchr(path, '\n'))
		return;
	memcpy(folder, path, strlen(path) + 1);
	memcpy(name, path, strlen(path) + 1);
	/* dirname() and basename() change what they are given. */
	if (!realpath(dirname(folder), real) || strncmp(real, CONFIG_FOLDER, root) != 0 ||
		(real[root] != '\0' && real[root] != '/'))
		return;
	n = snprintf(line,
		sizeof(line),
		"%s%s%s\n",
		real[root] ? real + root + 1 : "",
		real[root] ? "/" : "",
		basename(name));
	fd = open(LIST, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* Not in the list means that a purge leaves it, and says so. */
	if (fd >= 0 && n > 0 && (size_t)n < sizeof(line))
		(void)!write(fd, line, (size_t)n);
}
