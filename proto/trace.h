/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * A trace file: what magnet-read made of the rings of one host in one boot. Little-endian, so that a mapped file and
 * the ring have the same records. docs/format/trace.md is the normative page.
 *
 *   | header, FL_TRACE_HEADER_SIZE bytes | batch | records | batch | records | ... | zeros up to the file's end |
 *
 * The file has its whole length from the start (mkmagnet). A batch is written behind its own magic, which is stored
 * last: whatever ends the writer, a reader of the file finds whole batches and then no magic.
 */
#ifndef FIELDLINE_PROTO_TRACE_H
#define FIELDLINE_PROTO_TRACE_H

#include "proto/check.h"

#define FL_TRACE_VERSION 1
#define FL_TRACE_MAGIC "\x8aMAGNET\n" /* 8 bytes without the end of the string */
#define FL_TRACE_BYTE_ORDER 0x1a2b3c4dU
#define FL_TRACE_BATCH_MAGIC 0x54424d46U /* "FMBT" */

#define FL_TRACE_HEADER_SIZE 4096U /* the first batch stands there; what is behind the struct is zero */
#define FL_TRACE_HOST_SIZE 64U
#define FL_TRACE_BATCH_ALIGN 8U	   /* batches begin at multiples: heads and records keep it by their sizes */
#define FL_TRACE_BATCH_RECORDS 4096U /* most of one batch, so that a reader knows its memory */

/* magic, byte_order, version and header_size stand where they are in every version. */
struct fl_trace_header {
	__u8 magic[8];
	__le32 byte_order; /* FL_TRACE_BYTE_ORDER */
	__le16 version;
	__le16 header_size; /* offset of the first batch */
	__le16 record_size; /* 24 or 64; 0: blank, no reader of rings has had it yet */
	__le16 abi;	    /* MAGNET_ABI of the records; 0: blank */
	__le32 cycles_khz;  /* 0: blank */
	__le32 layers;	    /* as the module's parameter stood; 0: blank */
	__le32 rings;	    /* 0: blank */
	__le64 created_ns;  /* UTC: mkmagnet */
	__le64 started_ns;  /* UTC: the first magnet-read; 0: blank */
	__le64 file_size;   /* the file's length: as made, or as trimmed */
	__u8 boot_id[16];   /* /proc/sys/kernel/random/boot_id; zeros: blank */
	char host[FL_TRACE_HOST_SIZE]; /* zeros behind the name; zeros: blank */
	__u8 reserved[52];
	__le32 crc; /* zlib's CRC-32 of the bytes before it */
};
FL_ASSERT_SIZE(struct fl_trace_header, 192);
FL_ASSERT_OFFSET(struct fl_trace_header, byte_order, 8);
FL_ASSERT_OFFSET(struct fl_trace_header, record_size, 16);
FL_ASSERT_OFFSET(struct fl_trace_header, created_ns, 32);
FL_ASSERT_OFFSET(struct fl_trace_header, boot_id, 56);
FL_ASSERT_OFFSET(struct fl_trace_header, host, 72);
FL_ASSERT_OFFSET(struct fl_trace_header, crc, 188);

/* Then `count` records as they stood in the ring, oldest first. */
struct fl_trace_batch {
	__le32 magic; /* FL_TRACE_BATCH_MAGIC; stored last */
	__le32 crc;   /* zlib's CRC-32 of head and records from `sequence` on */
	__le64 sequence; /* of the file, from 1, without holes */
	__le16 cpu;
	__le16 record_size; /* as in the header */
	__le32 count;	    /* 1 .. FL_TRACE_BATCH_RECORDS */
	/* One clock pair, taken when the records had been copied and before their slots were given back. */
	__le64 cycles;
	__le64 tai_ns;
	__le64 realtime_ns;
	__le32 error_ns; /* the pair is known to plus or minus this */
	__le32 round;	 /* every ring was looked at once in each round; rises, with holes where all were empty */
	__le64 lost;	 /* of this ring since the module was loaded, at the clock pair */
};
FL_ASSERT_SIZE(struct fl_trace_batch, 64);
FL_ASSERT_OFFSET(struct fl_trace_batch, sequence, 8);
FL_ASSERT_OFFSET(struct fl_trace_batch, cycles, 24);
FL_ASSERT_OFFSET(struct fl_trace_batch, error_ns, 48);
FL_ASSERT_OFFSET(struct fl_trace_batch, lost, 56);

#endif
