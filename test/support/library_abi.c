/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What libfieldline.so does for a program that loads it by name, uses it wrongly, and lets it go again: codes and texts, and
 * nothing else. Arguments: the library, a settings file, a private key.
 */
#define _GNU_SOURCE /* dlfcn.h, RTLD_NOLOAD */
#include <fieldline.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct {
	int (*on)(int, const struct fieldline_options *, struct fieldline_handle **);
	int (*event)(struct fieldline_handle *, const char *, const char *, ...);
	int (*event_pairs)(struct fieldline_handle *, const char *, const struct fieldline_pair *, size_t);
	int (*get_counts)(struct fieldline_handle *, struct fieldline_counts *);
	int (*off)(struct fieldline_handle *, struct fieldline_counts *);
	const char *(*run)(const struct fieldline_handle *);
	const char *(*error)(void);
	const char *(*code_name)(int);
	const char *(*version)(void);
} f;

#define CHECK(condition)                                                                           \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "line %d: not %s; %s\n", __LINE__, #condition, f.error()); \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static void *load(const char *path)
{
	static const char *const names[] = { "on",  "event", "event_pairs", "get_counts", "off",
					     "run", "error", "code_name",   "version" };
	void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	char name[64];
	size_t i;

	if (library == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	for (i = 0; i < sizeof names / sizeof *names; i++) {
		void *symbol;

		snprintf(name, sizeof name, "fieldline_%s", names[i]);
		symbol = dlsym(library, name);
		if (symbol == NULL) {
			fprintf(stderr, "%s is not exported\n", name);
			exit(1);
		}
		memcpy((char *)&f + i * sizeof(void *), &symbol, sizeof symbol);
	}
	return library;
}

static void null_handles(void)
{
	struct fieldline_counts counts;

	memset(&counts, 0, sizeof counts);
	CHECK(f.event(NULL, "x", NULL) == FIELDLINE_CLOSED);
	CHECK(f.event_pairs(NULL, "x", NULL, 0) == FIELDLINE_CLOSED);
	CHECK(f.get_counts(NULL, &counts) == FIELDLINE_CLOSED);
	CHECK(f.off(NULL, NULL) == FIELDLINE_CLOSED);
	CHECK(strcmp(f.run(NULL), "") == 0);
	CHECK(strcmp(f.code_name(FIELDLINE_FORKED), "forked") == 0);
	CHECK(strcmp(f.code_name(-1), "unknown") == 0 && strcmp(f.code_name(99), "unknown") == 0);
	CHECK(strlen(f.version()) > 0);
}

/* A listener on loopback and a connection to it: nothing is ever sent over it. */
static int connected(void)
{
	struct sockaddr_in address;
	socklen_t size = sizeof address;
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(&address, 0, sizeof address);
	address.sin_family = AF_INET;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 1) ||
	    getsockname(listener, (struct sockaddr *)&address, &size) ||
	    connect(fd, (struct sockaddr *)&address, size)) {
		perror("loopback");
		exit(1);
	}
	return fd;
}

static void wrong_arguments(int fd, const char *config)
{
	struct fieldline_handle *handle = (struct fieldline_handle *)&handle;
	struct {
		struct fieldline_options known;
		char later[16];
	} options;

	CHECK(f.on(fd, NULL, NULL) == FIELDLINE_INVALID);
	CHECK(f.on(-1, NULL, &handle) == FIELDLINE_INVALID && handle == NULL);
	memset(&options, 0, sizeof options);
	CHECK(f.on(fd, &options.known, &handle) == FIELDLINE_INVALID && strstr(f.error(), "size") != NULL);
	options.known.size = sizeof options;
	options.later[3] = 1;
	CHECK(f.on(fd, &options.known, &handle) == FIELDLINE_UNSUPPORTED);
	options.later[3] = 0;
	options.known.sample = 3;
	CHECK(f.on(fd, &options.known, &handle) == FIELDLINE_INVALID && strstr(f.error(), "sample") != NULL);
	options.known.sample = 0;
	options.known.host = "a\nb";
	options.known.config = config;
	CHECK(f.on(fd, &options.known, &handle) == FIELDLINE_INVALID && strstr(f.error(), "host") != NULL);
	options.known.host = NULL;
	options.known.config = "/nonexistent/config.toml";
	CHECK(f.on(fd, &options.known, &handle) != FIELDLINE_OK && handle == NULL);
	options.known.config = config;
	options.known.identity = "/nonexistent/key";
	CHECK(f.on(fd, &options.known, &handle) == FIELDLINE_NOT_FOUND && strstr(f.error(), "ssh-keygen") != NULL);
}

static double now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

/* Nobody listens where the archive should be: all is taken, nothing is acknowledged, and the end is in time. */
static void archive_away(int fd, const char *config, const char *identity)
{
	struct fieldline_options options;
	struct fieldline_counts counts;
	struct fieldline_pair pair = { "k", "a \"b\" c=d" };
	struct fieldline_handle *handle;
	struct sigaction before, after;
	double begin;

	memset(&options, 0, sizeof options);
	options.size = sizeof options;
	options.config = config;
	options.identity = identity;
	options.off_timeout_ms = 300;
	sigaction(SIGPIPE, NULL, &before);
	CHECK(f.on(fd, &options, &handle) == FIELDLINE_OK && handle != NULL);
	CHECK(strlen(f.run(handle)) == 32);
	CHECK(f.event(handle, "x.start", "n=%d text=\"%s\"", 1, "a b") == FIELDLINE_OK);
	CHECK(f.event_pairs(handle, "x.end", &pair, 1) == FIELDLINE_OK);
	CHECK(f.event(handle, NULL, NULL) == FIELDLINE_INVALID);
	CHECK(f.event(handle, "x y", NULL) == FIELDLINE_INVALID);
	memset(&counts, 0, sizeof counts);
	CHECK(f.get_counts(handle, &counts) == FIELDLINE_INVALID);
	counts.size = sizeof counts;
	CHECK(f.get_counts(handle, &counts) == FIELDLINE_OK);
	CHECK(counts.written == 2 && counts.pending == 2 && counts.refused == 1 && counts.connected == 0);
	begin = now();
	CHECK(f.off(handle, &counts) == FIELDLINE_PARTIAL);
	CHECK(now() - begin < 10); /* 0.8 s are promised; a loaded machine is no failure */
	CHECK(counts.written == 2 && counts.acknowledged == 0 && counts.dropped == 0 && counts.pending == 2);
	CHECK(counts.pulses >= 2);
	sigaction(SIGPIPE, NULL, &after);
	CHECK(before.sa_handler == after.sa_handler);
}

static int written;

static void *writes_on(void *handle)
{
	for (;;) {
		f.event(handle, "x.still", "i=%d", __sync_add_and_fetch(&written, 1));
		nanosleep(&(struct timespec){ 0, 100000 }, NULL);
	}
	return NULL;
}

/* Left on, and written to by other threads while the process ends: that is no crash. */
static void left_on(int fd, const char *config, const char *identity)
{
	struct fieldline_options options;
	struct fieldline_handle *handle;
	pthread_t thread;
	int i;

	memset(&options, 0, sizeof options);
	options.size = sizeof options;
	options.config = config;
	options.identity = identity;
	CHECK(f.on(fd, &options, &handle) == FIELDLINE_OK);
	CHECK(f.event(handle, "x", NULL) == FIELDLINE_OK);
	for (i = 0; i < 3; i++)
		CHECK(pthread_create(&thread, NULL, writes_on, handle) == 0);
	while (!__sync_fetch_and_add(&written, 0))
		;
}

static struct fieldline_handle *kept;
static pthread_t leaver;
static sem_t leaving;

static void leave(void)
{
	sem_post(&leaving);
}

static void *switches_off(void *handle)
{
	while (sem_wait(&leaving) != 0)
		;
	return f.off(handle, NULL) == FIELDLINE_PARTIAL ? NULL : handle;
}

/* CHECK() would call exit() within exit(). */
static void at_exit(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "at exit: not %s; %s\n", what, f.error());
	_exit(1);
}

/* What a C++ program's global does that was built before the first fieldline_on(): it goes behind the library's own end. */
static void switch_off_late(void)
{
	struct fieldline_counts counts;
	void *wrong;

	if (kept == NULL)
		return;
	memset(&counts, 0, sizeof counts);
	counts.size = sizeof counts;
	at_exit(f.event(kept, "x.late", NULL) == FIELDLINE_EXHAUSTED, "dropped");
	at_exit(f.off(kept, &counts) == FIELDLINE_PARTIAL, "partial");
	at_exit(counts.written == 2 && counts.pending == 1 && counts.dropped == 1, "one pending");
	at_exit(pthread_join(leaver, &wrong) == 0 && wrong == NULL, "switched off by the thread");
	printf("switched off late\n");
}

/* Of two runs that are left on a thread switches one off while the library ends both, the program the other behind it. */
static void left_to_exit(int fd, const char *config, const char *identity)
{
	struct fieldline_options options;
	struct fieldline_handle *other;

	memset(&options, 0, sizeof options);
	options.size = sizeof options;
	options.config = config;
	options.identity = identity;
	CHECK(f.on(fd, &options, &other) == FIELDLINE_OK && f.event(other, "x", NULL) == FIELDLINE_OK);
	CHECK(sem_init(&leaving, 0, 0) == 0 && pthread_create(&leaver, NULL, switches_off, other) == 0);
	CHECK(f.on(fd, &options, &kept) == FIELDLINE_OK && f.event(kept, "x", NULL) == FIELDLINE_OK);
	CHECK(atexit(leave) == 0);
}

int main(int argc, char **argv)
{
	void *library;
	int fd;

	if (argc != 4)
		return 2;
	atexit(switch_off_late);
	library = load(argv[1]);
	fd = connected();
	null_handles();
	wrong_arguments(fd, argv[2]);
	archive_away(fd, argv[2], argv[3]);
	dlclose(library);
	library = load(argv[1]);
	signal(SIGCHLD, SIG_IGN); /* who waits for ssh-keygen is then told nothing */
	archive_away(fd, argv[2], argv[3]);
	left_on(fd, argv[2], argv[3]);
	left_to_exit(fd, argv[2], argv[3]);
	dlclose(library);
	printf("ok\n");
	return 0;
}
