/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * A spool segment: frames of one session for one archive that found no room in memory, in the order of their numbers.
 * Little-endian, except the frames, which are as they go over the wire (proto/frame.h). docs/format/spool.md is the
 * normative page.
 *
 *   | fl_spool_segment | fl_spool_frame | frame | fl_spool_frame | frame | ...
 */
#ifndef FIELDLINE_PROTO_SPOOL_H
#define FIELDLINE_PROTO_SPOOL_H

#include "proto/check.h"

#define FL_SPOOL_MAGIC "FLSPOOL\n" /* 8 bytes without the end of the string */
#define FL_SPOOL_VERSION 1

struct fl_spool_segment {
	__u8 magic[8];
	__le32 version;
	__le32 reserved;
	__u8 session[16];
	__u8 archive[32]; /* its key's fingerprint */
	__le64 first;	  /* number of the first item */
	__le32 reserved2;
	__le32 crc; /* zlib's CRC-32 of the bytes before it */
};
FL_ASSERT_SIZE(struct fl_spool_segment, 80);
FL_ASSERT_OFFSET(struct fl_spool_segment, session, 16);
FL_ASSERT_OFFSET(struct fl_spool_segment, first, 64);
FL_ASSERT_OFFSET(struct fl_spool_segment, crc, 76);

struct fl_spool_frame {
	__le32 length; /* of the frame that follows */
	__le32 crc;    /* zlib's CRC-32 of the length's four bytes and the frame */
};
FL_ASSERT_SIZE(struct fl_spool_frame, 8);

#endif
