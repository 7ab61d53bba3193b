/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libfieldline: an application switches monitoring on for its own socket, and writes time-stamped events into the run.
 * docs/libfieldline.md has the whole story; lib/example.c is a program that uses all of it.
 *
 * What holds for every function: it never raises a signal, never writes to standard output or standard error, installs
 * no signal handler and throws nothing. It may be called from any thread. With a null handle it does nothing and returns
 * FIELDLINE_CLOSED, so that an application for which fieldline_on() failed goes on without an `if` at each event. In a
 * child after fork() a handle of its parent does nothing and gives FIELDLINE_FORKED.
 */
#ifndef FIELDLINE_H
#define FIELDLINE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FIELDLINE_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define FIELDLINE_PRINTF(text, first)
#endif

/* What functions return. Numbers are never used again; a later library may have further ones. */
enum fieldline_code {
	FIELDLINE_OK = 0,
	FIELDLINE_INVALID = 1,	   /* an argument, or the settings, are not of the form that is asked for */
	FIELDLINE_UNSUPPORTED = 2, /* well-formed, but not for this version or machine */
	FIELDLINE_DENIED = 3,	   /* a key or its agent says no */
	FIELDLINE_NOT_FOUND = 4,   /* no such key, or no ssh-keygen */
	FIELDLINE_EXHAUSTED = 5,   /* no memory or no room, and counted; or longer than an event may be */
	FIELDLINE_IO = 6,	   /* the operating system says no */
	FIELDLINE_CLOSED = 7,	   /* a null handle */
	FIELDLINE_TIMEOUT = 8,	   /* not signed within on_timeout_ms */
	FIELDLINE_PARTIAL = 9,	   /* fieldline_off(): not every event was acknowledged; the counts say how many */
	FIELDLINE_FORKED = 10	   /* the handle is another process's */
};

struct fieldline_handle;

/*
 * How a run is made. All zeros but `size` is what `fieldline ping` would do, with the user's own settings. The struct
 * grows at its end: what a library does not know must be zero, or the answer is FIELDLINE_UNSUPPORTED.
 */
struct fieldline_options {
	size_t size;		 /* sizeof(struct fieldline_options) */
	const char *config;	 /* settings file; null: FIELDLINE_CONFIG, or ~/.config/fieldline/config.toml */
	const char *archive;	 /* HOST:PORT#SHA256:...; null: FIELDLINE_ARCHIVE, or as the settings have it */
	const char *identity;	 /* SSH key; null: FIELDLINE_IDENTITY, or as the settings have it */
	const char *host;	 /* how events name this host; null: gethostname() */
	const char *program;	 /* how events name this program; null: its own name */
	uint32_t for_seconds;	 /* the longest that the run may last; 0: an hour. Policies may give less */
	uint32_t snaplen;	 /* bytes of each packet; 0: headers */
	uint32_t sample;	 /* one of so many packets, a power of two; 0 and 1: all */
	uint32_t on_timeout_ms;	 /* the longest that fieldline_on() may take; 0: 5000 */
	uint32_t off_timeout_ms; /* the longest that fieldline_off() waits for the archive; 0: 2000 */
	uint32_t trigger_port;	 /* UDP port of triggers; 0: 8620 */
	size_t buffer_bytes;	 /* for events that the archive has not acknowledged yet; 0: 1 MiB */
};

/* written = acknowledged + dropped + pending. Grows at its end; `size` is set by the caller. */
struct fieldline_counts {
	size_t size;
	uint64_t written;      /* events that were taken, of the application's own */
	uint64_t acknowledged; /* of them: on the archive's disk */
	uint64_t dropped;      /* of them: found no room in buffer_bytes, or no run any more */
	uint64_t pending;      /* of them: neither; after fieldline_off() they may or may not be on the disk */
	uint64_t refused;      /* events that were not taken: not of the form, or too long */
	uint64_t pulses;       /* triggers sent */
	uint32_t connected;    /* 1: the archive is connected now */
};

/* One pair of an event: the key, words of letters, digits, '_' and '-' with dots between; the value, UTF-8. */
struct fieldline_pair {
	const char *key;
	const char *value;
};

/*
 * Switches monitoring on for a connected TCP or UDP socket: signs a grant with the user's SSH key (ssh-keygen does it,
 * without a terminal: the key has no passphrase, or an agent holds it) and sends the first trigger along the socket's
 * own path; a thread sends the others and the events. Which sensors answer, and whether the archive does, is not waited
 * for. options may be null. *handle is set to null where it fails. The socket stays the application's, which may close it.
 */
int fieldline_on(int socket, const struct fieldline_options *options, struct fieldline_handle **handle);

/*
 * Writes an event: a dotted name ("gridftp.read.start") and pairs as NetLogger writes them, `key=value` or
 * `key="a value"` with spaces between; `level=Debug` sets the level (Fatal, Error, Warn, Info, Debug, Trace), Info if it
 * is not given. A null format is no pairs. Never blocks: where there is no room the event is dropped and counted. Names that
 * begin with "fieldline." are the library's own.
 */
int fieldline_event(struct fieldline_handle *handle, const char *name, const char *format, ...)
	FIELDLINE_PRINTF(3, 4);

/* The same with values that may have any characters that an event may: what came from elsewhere cannot add a pair. */
int fieldline_event_pairs(struct fieldline_handle *handle, const char *name, const struct fieldline_pair *pairs,
			  size_t count);

/* What became of the events until now, as of at most 200 ms ago. */
int fieldline_get_counts(struct fieldline_handle *handle, struct fieldline_counts *counts);

/*
 * Ends the run, waits until the archive has acknowledged all events, at most off_timeout_ms and half a second, and frees
 * the handle, whatever it returns. counts may be null. No other thread may use the handle meanwhile.
 */
int fieldline_off(struct fieldline_handle *handle, struct fieldline_counts *counts);

/* The run's id, 32 hexadecimal digits, as `fieldline path` takes it; valid until fieldline_off(). Empty without a handle. */
const char *fieldline_run(const struct fieldline_handle *handle);

/* Why the last call of this thread that failed did so, and what to do; never null. */
const char *fieldline_error(void);

/* "denied" for FIELDLINE_DENIED; never null. */
const char *fieldline_code_name(int code);

/* The library's, which may be newer than this header: "0.1.0". */
const char *fieldline_version(void);

#ifdef __cplusplus
}
#endif

#endif
