/* SPDX-License-Identifier: Apache-2.0 */
#include "base/must.h"
#include "base/secret.h"
#include "io/file.h"
#include "io/stream_priv.h"

#include <fcntl.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What a TLS context was made from, so that a reload can keep one whose files have not changed. Each step takes in what
 * is there already. Files are read here before OpenSSL reads them: one that changes in between looks changed again
 * at the next reload, never unchanged.
 */
enum {
	PIECE = 4096,
};

static EVP_MD_CTX *begin(const struct io_tls *t)
{
	EVP_MD_CTX *sum = EVP_MD_CTX_new();

	must(sum && EVP_DigestInit_ex(sum, EVP_sha256(), NULL) == 1);
	must(EVP_DigestUpdate(sum, t->print, sizeof(t->print)) == 1);
	return sum;
}

static void end(struct io_tls *t, EVP_MD_CTX *sum)
{
	must(EVP_DigestFinal_ex(sum, t->print, NULL) == 1);
	EVP_MD_CTX_free(sum);
}

void io_tls_print_bytes(struct io_tls *t, struct sv bytes)
{
	EVP_MD_CTX *sum = begin(t);

	if (bytes.len)
		must(EVP_DigestUpdate(sum, bytes.ptr, bytes.len) == 1);
	end(t, sum);
}

void io_tls_print_file(struct io_tls *t, const char *path)
{
	CLEANUP(io_closep) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	EVP_MD_CTX *sum = begin(t);
	char piece[PIECE];
	ssize_t n;

	while (fd >= 0 && (n = read(fd, piece, sizeof(piece))) > 0)
		must(EVP_DigestUpdate(sum, piece, (size_t)n) == 1);
	/* It may be a private key. */
	secret_wipe(piece, sizeof(piece));
	end(t, sum);
}

/* Where OpenSSL looks: one file, and a folder, which update-ca-certificates fills together with a bundle. */
void io_tls_print_system(struct io_tls *t)
{
	const char *file = getenv(X509_get_default_cert_file_env());
	const char *folder = getenv(X509_get_default_cert_dir_env());
	struct stat st = { 0 };
	char bundle[PATH_MAX];

	io_tls_print_file(t, file ? file : X509_get_default_cert_file());
	folder = folder ? folder : X509_get_default_cert_dir();
	if (stat(folder, &st) == 0)
		io_tls_print_bytes(t, sv_make((const char *)&st.st_mtim, sizeof(st.st_mtim)));
	(void)snprintf(bundle, sizeof(bundle), "%s/ca-certificates.crt", folder);
	io_tls_print_file(t, bundle);
}

bool io_tls_same(const struct io_tls *a, const struct io_tls *b)
{
	return memcmp(a->print, b->print, sizeof(a->print)) == 0;
}
