/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that uses libfieldline as a test tells it to, line by line on standard input:
 *
 *   event NAME [PAIRS]   many N NAME   send BYTES   fork   counts   off   leave
 *
 * Each line is answered by one line. Arguments: HOST PORT BUFFER_BYTES.
 */
#define _POSIX_C_SOURCE 200112L
#include <fieldline.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fieldline_handle *run;
static int connection;

static void tell(int code, const struct fieldline_counts *counts)
{
	printf("%s written=%llu acknowledged=%llu dropped=%llu pending=%llu refused=%llu connected=%u\n",
	       fieldline_code_name(code), (unsigned long long)counts->written,
	       (unsigned long long)counts->acknowledged, (unsigned long long)counts->dropped,
	       (unsigned long long)counts->pending, (unsigned long long)counts->refused, counts->connected);
}

static int many(long count, const char *name)
{
	int dropped = 0;
	long i;

	for (i = 0; i < count; i++)
		dropped += fieldline_event(run, name, "i=%ld", i) == FIELDLINE_EXHAUSTED;
	return dropped;
}

/* In a child the handle does nothing, and the child's end leaves the parent's run alone. */
static void in_child(void)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		int event = fieldline_event(run, "child", NULL), off = fieldline_off(run, NULL);

		exit(event == FIELDLINE_FORKED && off == FIELDLINE_FORKED ? 0 : 1);
	}
	waitpid(child, &status, 0);
	printf("%s\n", status == 0 ? "ok" : "wrong");
}

static void send_zeros(long bytes)
{
	static char block[4096];

	while (bytes > 0) {
		ssize_t n = write(connection, block, bytes < (long)sizeof block ? (size_t)bytes : sizeof block);

		if (n <= 0)
			break;
		bytes -= n;
	}
	printf("%s\n", bytes == 0 ? "ok" : "wrong");
}

static int obey(char *line)
{
	struct fieldline_counts counts;
	char *word = strtok(line, " \n"), *first = strtok(NULL, " \n"), *rest = strtok(NULL, "\n");

	memset(&counts, 0, sizeof counts);
	counts.size = sizeof counts;
	if (strcmp(word, "event") == 0) {
		printf("%s\n", fieldline_code_name(rest ? fieldline_event(run, first, "%s", rest)
						       : fieldline_event(run, first, NULL)));
	} else if (strcmp(word, "many") == 0) {
		printf("%d\n", many(strtol(first, NULL, 10), rest));
	} else if (strcmp(word, "send") == 0) {
		send_zeros(strtol(first, NULL, 10));
	} else if (strcmp(word, "fork") == 0) {
		in_child();
	} else if (strcmp(word, "counts") == 0) {
		int code = fieldline_get_counts(run, &counts);

		tell(code, &counts);
	} else if (strcmp(word, "off") == 0) {
		int code = fieldline_off(run, &counts);

		run = NULL;
		tell(code, &counts);
	} else {
		return 0; /* leave */
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct fieldline_options options;
	struct sockaddr_in address;
	char line[4096];

	if (argc != 4)
		return 2;
	memset(&address, 0, sizeof address);
	address.sin_family = AF_INET;
	address.sin_port = htons((unsigned short)strtol(argv[2], NULL, 10));
	inet_pton(AF_INET, argv[1], &address.sin_addr);
	connection = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(connection, (struct sockaddr *)&address, sizeof address) != 0) {
		perror("connect");
		return 1;
	}
	memset(&options, 0, sizeof options);
	options.size = sizeof options;
	options.host = "a";
	options.off_timeout_ms = 10000;
	options.buffer_bytes = (size_t)strtol(argv[3], NULL, 10);
	if (fieldline_on(connection, &options, &run) != FIELDLINE_OK) {
		fprintf(stderr, "fieldline_on: %s\n", fieldline_error());
		return 1;
	}
	printf("%s\n", fieldline_run(run));
	fflush(stdout);
	while (fgets(line, sizeof line, stdin) && obey(line))
		fflush(stdout);
	return 0;
}
