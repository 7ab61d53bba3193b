/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sends zeros to HOST PORT, block by block, and tells the run when each write began and ended:
 *
 *   cc -std=c99 example.c $(pkg-config --cflags --libs fieldline) -o example
 *   ./example dtn2.example.net 5201 100
 *   fieldline events last --event 'example.*'
 *
 * Where monitoring cannot be had the transfer goes on without it.
 */
#define _POSIX_C_SOURCE 200112L
#include <fieldline.h>

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK = 131072 };

static int dial(const char *host, const char *port)
{
	struct addrinfo hints, *found, *at;
	int fd = -1;

	memset(&hints, 0, sizeof hints);
	hints.ai_socktype = SOCK_STREAM;
	if (getaddrinfo(host, port, &hints, &found) != 0)
		return -1;
	for (at = found; at != NULL && fd < 0; at = at->ai_next) {
		fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);
		if (fd >= 0 && connect(fd, at->ai_addr, at->ai_addrlen) != 0) {
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(found);
	return fd;
}

static int send_block(int fd, const char *block)
{
	size_t done = 0;

	while (done < BLOCK) {
		ssize_t n = write(fd, block + done, BLOCK - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		done += (size_t)n;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static char block[BLOCK];
	struct fieldline_handle *run;
	struct fieldline_counts counts;
	long blocks, i;
	int fd;

	if (argc != 4) {
		fprintf(stderr, "usage: %s HOST PORT BLOCKS\n", argv[0]);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	blocks = strtol(argv[3], NULL, 10);
	fd = dial(argv[1], argv[2]);
	if (fd < 0) {
		fprintf(stderr, "%s port %s: cannot connect\n", argv[1], argv[2]);
		return 1;
	}
	if (fieldline_on(fd, NULL, &run) != FIELDLINE_OK)
		fprintf(stderr, "not monitored: %s\n", fieldline_error());

	for (i = 0; i < blocks; i++) {
		fieldline_event(run, "example.write.start", "block=%ld bytes=%d", i, (int)BLOCK);
		if (send_block(fd, block) != 0) {
			fieldline_event(run, "example.write.error", "level=Error block=%ld errno=%d", i, errno);
			break;
		}
		fieldline_event(run, "example.write.end", "block=%ld", i);
	}

	if (run != NULL) {
		printf("run %s\n", fieldline_run(run));
		memset(&counts, 0, sizeof counts);
		counts.size = sizeof counts;
		if (fieldline_off(run, &counts) != FIELDLINE_OK)
			fprintf(stderr, "%s\n", fieldline_error());
		printf("events %llu acknowledged %llu dropped %llu\n", (unsigned long long)counts.written,
		       (unsigned long long)counts.acknowledged, (unsigned long long)counts.dropped);
	}
	close(fd);
	return i == blocks ? 0 : 1;
}
