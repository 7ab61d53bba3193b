/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The chunk: pcapng, little-endian, so that tshark, tcpdump and Wireshark read it as it is. This header names
 * what pcapng leaves to us; docs/format/chunk.md is the normative page.
 *
 * One interface block per (run, vantage point), link type Ethernet, the same snaplen on all (libpcap asks for
 * that), nanoseconds. Its comment is a JSON object: {"run","sensor","port","interface","session"}.
 * An item's number in the session is its epb_packetid.
 */
#ifndef FIELDLINE_PROTO_CHUNK_H
#define FIELDLINE_PROTO_CHUNK_H

#include "proto/check.h"

#define FL_PCAPNG_SHB 0x0a0d0d0aU
#define FL_PCAPNG_BYTE_ORDER 0x1a2b3c4dU
#define FL_PCAPNG_IDB 1U
#define FL_PCAPNG_ISB 5U
#define FL_PCAPNG_EPB 6U
/*
 * Our reports: a local-use block (bit 31 set) laid out as a custom block would be. Readers pass over local-use
 * blocks; tshark shows each custom block as a frame of its own, and its counts would no longer be packets.
 */
#define FL_PCAPNG_REPORT 0x80000badU

#define FL_PCAPNG_LINKTYPE_ETHERNET 1
#define FL_PCAPNG_SNAPLEN 65535U

/*
 * Private enterprise number of our report blocks and custom options. 32473 is the number that RFC 5612 sets aside for
 * documentation; the magic behind it tells ours from others'.
 */
#define FL_PCAPNG_PEN 32473U
#define FL_PCAPNG_MAGIC 0x464c4431U /* "FLD1" */

/* Custom option 2989 (binary, may be copied) of an EPB: PEN u32, then this. Little-endian. */
struct fl_chunk_packet {
	__le32 magic; /* FL_PCAPNG_MAGIC */
	__le16 queue;
	__le16 flags; /* enum fl_record_flags */
	__le64 digest;
	__le16 gso_size;
	__le16 gso_segs;
	__le32 reserved;
};
FL_ASSERT_SIZE(struct fl_chunk_packet, 24);
FL_ASSERT_OFFSET(struct fl_chunk_packet, digest, 8);

/* Body of a report block behind the PEN: a durable frame other than header records; then its payload. */
struct fl_chunk_report {
	__le32 magic; /* FL_PCAPNG_MAGIC */
	__u8 type;    /* enum fl_frame_type */
	__u8 encoding;
	__le16 reserved;
	__le64 sequence;
	__u8 run[16];
	__le32 length; /* of the payload, before padding to 4 */
	__le32 reserved2;
};
FL_ASSERT_SIZE(struct fl_chunk_report, 40);
FL_ASSERT_OFFSET(struct fl_chunk_report, sequence, 8);
FL_ASSERT_OFFSET(struct fl_chunk_report, length, 32);

#endif
