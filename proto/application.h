/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * Application events: what an application says of itself, written into the run that watches its socket
 * (libfieldline). Network byte order. docs/format/application.md is the normative page.
 * Crosses: producer -> archive -> reader.
 *
 * The body of a frame is one event: fl_application_event, name, host, program, then for each pair an
 * fl_application_pair, its key and its value. They fill the body exactly.
 */
#ifndef FIELDLINE_PROTO_APPLICATION_H
#define FIELDLINE_PROTO_APPLICATION_H

#include "proto/check.h"

#define FL_APPLICATION_VERSION 1
#define FL_APPLICATION_EVENT_MAX 2048 /* bytes of a body, of whatever version */
#define FL_APPLICATION_NAME_MAX 128
#define FL_APPLICATION_KEY_MAX 64
#define FL_APPLICATION_PAIRS_MAX 32
#define FL_APPLICATION_RESERVED "fieldline." /* names that begin so are the library's own */

/* NetLogger's levels. */
enum fl_application_level {
	FL_APPLICATION_FATAL = 1,
	FL_APPLICATION_ERROR = 2,
	FL_APPLICATION_WARN = 3,
	FL_APPLICATION_INFO = 4,
	FL_APPLICATION_DEBUG = 5,
	FL_APPLICATION_TRACE = 6,
};

struct fl_application_event {
	__be16 version;
	__u8 level; /* enum fl_application_level */
	__u8 pairs; /* .. FL_APPLICATION_PAIRS_MAX */
	__u8 name_len; /* 1 .. FL_APPLICATION_NAME_MAX */
	__u8 host_len;
	__u8 program_len;
	__u8 reserved;
	__be32 pid;
	__be32 tid;
	__be64 timestamp_ns; /* UTC since the epoch, by the host's clock */
	__be64 sockid;	     /* cookie of the socket that the run was switched on for */
};
FL_ASSERT_SIZE(struct fl_application_event, 32);
FL_ASSERT_OFFSET(struct fl_application_event, pid, 8);
FL_ASSERT_OFFSET(struct fl_application_event, timestamp_ns, 16);

struct fl_application_pair {
	__u8 key_len; /* 1 .. FL_APPLICATION_KEY_MAX */
	__u8 reserved;
	__be16 value_len;
};
FL_ASSERT_SIZE(struct fl_application_pair, 4);
FL_ASSERT_OFFSET(struct fl_application_pair, value_len, 2);

#endif
