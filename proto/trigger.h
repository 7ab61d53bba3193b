/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0 */
/*
 * The trigger: a signed request that travels along the flow's own path, as the payload of a UDP datagram or
 * of an ICMP echo request or reply. Network byte order. docs/format/trigger.md is the normative page.
 *
 *   header | [certificate] | grant | grant signature | pulse | pulse signature
 *
 * The grant is signed once per run by the user's SSH key (SSHSIG, namespace grant@fieldline, SHA-512);
 * each pulse by the run's own short-lived key, over FL_PULSE_CONTEXT | run id | pulse.
 */
#ifndef FIELDLINE_PROTO_TRIGGER_H
#define FIELDLINE_PROTO_TRIGGER_H

#include "proto/check.h"

#define FL_TRIGGER_MAGIC "\xf1" "LDLINE\n"
#define FL_TRIGGER_MAGIC_LEN 8
#define FL_TRIGGER_VERSION 1
#define FL_TRIGGER_MAX 1232 /* fits IPv6's minimum MTU with its headers */
#define FL_TRIGGER_PORT 8620
#define FL_GRANT_VERSION 1
#define FL_GRANT_PAIRS_MAX 32
#define FL_GRANT_NAMESPACE "grant@fieldline"
#define FL_PULSE_CONTEXT "fieldline pulse 1" /* 17 bytes, no NUL */
#define FL_PULSE_SIGNATURE_LEN 64

enum fl_signature_type {
	FL_SIGNATURE_ED25519 = 1,    /* 64 bytes */
	FL_SIGNATURE_SK_ED25519 = 2, /* 64 bytes, flags u8, counter u32; reserved: refused by version 1 sensors */
};

enum fl_verb {
	FL_VERB_CAPTURE = 1,
	FL_VERB_COUNT = 2, /* counters, no header records */
	FL_VERB_TEST = 3,  /* reserved */
};

struct fl_trigger_header {
	__u8 magic[FL_TRIGGER_MAGIC_LEN];
	__u8 version;
	__u8 flags; /* 0 */
	__be16 certificate_len; /* 0: a plain key */
	__be16 grant_len;
	__be16 signature_len;
	__u8 signature_type; /* enum fl_signature_type */
	__u8 reserved[3];
};
FL_ASSERT_SIZE(struct fl_trigger_header, 20);
FL_ASSERT_OFFSET(struct fl_trigger_header, certificate_len, 10);
FL_ASSERT_OFFSET(struct fl_trigger_header, signature_type, 16);

/* Ports of hosts A and B; 0 is any. */
struct fl_port_pair {
	__be16 a;
	__be16 b;
};
FL_ASSERT_SIZE(struct fl_port_pair, 4);

/* Followed by pair_count port pairs. Times are ns since the epoch, UTC. */
struct fl_grant {
	__u8 version;
	__u8 verb;     /* enum fl_verb */
	__u8 protocol; /* IPPROTO_TCP, UDP, ICMP, ICMPV6 */
	__u8 pair_count; /* 1..FL_GRANT_PAIRS_MAX */
	__u8 reserved[4];
	__u8 run[16];
	__u8 key_id[8]; /* a hint: first bytes of SHA-256 over the SSH public key blob */
	__u8 run_key[32]; /* Ed25519 public */
	__be64 issued_at;
	__be64 not_after;
	__u8 host_a[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u8 host_b[16];
	__u8 prefix_a; /* 0..128, of the 16 bytes */
	__u8 prefix_b;
	__be16 snaplen; /* 0: headers, to the end of the transport options */
	__be32 sample_n; /* one of so many packets is recorded (proto/digest.h): a power of two, 1: every packet */
	__u8 archive[32]; /* 0: the sensor's own; else the fingerprint of an archive's key */
};
FL_ASSERT_SIZE(struct fl_grant, 152);
FL_ASSERT_OFFSET(struct fl_grant, run, 8);
FL_ASSERT_OFFSET(struct fl_grant, run_key, 32);
FL_ASSERT_OFFSET(struct fl_grant, issued_at, 64);
FL_ASSERT_OFFSET(struct fl_grant, host_a, 80);
FL_ASSERT_OFFSET(struct fl_grant, snaplen, 114);
FL_ASSERT_OFFSET(struct fl_grant, archive, 120);

/* expiry == issued_at ends the run at once. */
struct fl_pulse {
	__be32 sequence; /* rising; a number already seen is a duplicate */
	__u8 reserved[4];
	__be64 issued_at;
	__be64 expiry;
};
FL_ASSERT_SIZE(struct fl_pulse, 24);
FL_ASSERT_OFFSET(struct fl_pulse, issued_at, 8);

/* Smallest trigger: one port pair, plain key. */
#define FL_TRIGGER_MIN (20 + 152 + 4 + 64 + 24 + FL_PULSE_SIGNATURE_LEN)

#endif
