// SPDX-License-Identifier: Apache-2.0
// Captures that somebody took with tcpdump or Wireshark, without a run: what must be known of them
// before their packets can be joined, and by what they are.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "analysis/digest_table.h"
#include "analysis/flows.h"
#include "analysis/sip.h"
#include "analysis/super_packet.h"
#include "base/pcapng.h"

namespace fieldline::analysis {

// One file; several interfaces of it are several vantage points with one clock.
struct Capture {
  std::string name;
  std::uint64_t first_ns = UINT64_MAX, last_ns = 0;
  // By the recorder, if the file says so of each interface.
  std::optional<std::uint64_t> dropped;
  std::uint64_t taken = 0;  // packets between the hosts in question
  std::uint64_t cut = 0;    // of these: inside their headers
};

// The two hosts whose packets are joined; a is the one that sends more payload.
struct HostPair {
  Address a, b;
};

// First all blocks of all files are shown to it, then settle(), then it is asked. Or it assumes
// what another one found in the files' beginnings, and is asked while it is shown them: then
// holds() says at the end whether the answers were those of settle(), and is settled if they were
// not.
class CaptureSurvey {
 public:
  // One direction of a flow. In front what each packet asks for: two lines of the cache.
  struct alignas(64) Sender {
    explicit Sender(const FlowKey& of) : packed(of), from_to(of) {}

    PackedFlow packed;
    std::uint32_t pair = 0;    // index in pairs_
    bool from_second = false;  // of the pair
    bool timestamps = false;
    std::uint16_t mss = 0;      // that this sender announced
    std::uint32_t largest = 0;  // payload
    // How many packets of which payload, without those of the last one's since it was another.
    std::uint32_t recent = 0;
    std::uint64_t recent_packets = 0;

    // Settled:
    Sip key;                                // that has taken addresses, ports and protocol
    std::uint32_t size = 0;                 // of a full wire segment; 0: unknown
    std::uint32_t flow = FlowTable::kNone;  // the analysis's number, once it gave one
    bool reverse = false;

    std::vector<std::pair<std::uint32_t, std::uint64_t>> sizes;  // payload, packets; by payload
    FlowKey from_to;
  };

  std::size_t add(std::string name);  // number of the file
  // reason counted: nullptr, or why the packet is of no use.
  const char* see(std::size_t file, const pcapng::Block& block);
  // The same of a packet that has been parsed; who sent it, as sender() says.
  Sender* see(std::size_t file, const pcapng::Packet& packet, const PacketInfo& info);
  // Before anything is seen. False: what the other found is nothing to begin with.
  bool assume(const CaptureSurvey& beginning);
  bool assumes() const { return assumed_.has_value(); }
  // What was assumed has been seen to be wrong: only counting goes on.
  bool is_wrong() const { return wrong_; }
  Result<bool> holds();
  // hosts: no value takes those that exchange most packets. An error: no packet is of such hosts.
  Result<void> settle(const std::optional<HostPair>& hosts);

  const std::vector<Capture>& files() const { return files_; }
  const HostPair& hosts() const { return hosts_; }
  std::uint64_t other_packets() const { return other_packets_; }
  // The pairs of hosts that were not chosen, with most packets first: "10.0.0.1,10.0.0.2 (12)".
  std::vector<std::string> other_pairs() const;
  bool options_cut() const { return options_cut_; }
  // Who sent the packet, once it is settled; nullptr: other hosts. Its transport header was read.
  Sender* sender(const PacketInfo& packet);
  // More than one wire segment, and how long each is; 0: it cannot be told.
  std::optional<std::uint32_t> segment_size(const PacketInfo& packet) const;
  static std::optional<std::uint32_t> segment_size(const PacketInfo& packet, std::uint32_t size) {
    if (packet.protocol != kTcp || packet.payload <= size) return std::nullopt;
    return packet.payload > kPayloadMax ? 0 : size;
  }
  // What a packet is known by at every vantage point.
  std::uint64_t key(const Sender& sender, const PacketInfo& packet) const;
  std::uint64_t key(const Sender& sender, const PacketInfo& packet,
                    const WireSegment& segment) const;

 private:
  static constexpr std::uint32_t kPayloadMax = 1 << 20;  // longer: not of this world
  using Hosts = std::pair<Address, Address>;             // first < second
  struct Exchange {
    Hosts hosts;
    std::uint64_t packets = 0;
    std::uint64_t payload[2] = {0, 0};  // from first, from second
  };
  struct Interface {
    std::uint16_t link_type = 0;
    std::uint64_t packets = 0;
    std::optional<std::uint64_t> dropped;  // the last that was said: counts are cumulative
  };
  struct Taken {
    std::uint64_t all = 0, cut = 0;
  };
  struct Reading {
    std::vector<Interface> interfaces;
    std::size_t section = 0;                                  // where those of this section begin
    boost::unordered_flat_map<std::uint32_t, Taken> packets;  // by pair, but for the last one's
    std::uint32_t last_pair = 0;
    Taken last;

    void take(std::uint32_t pair, bool cut);
  };

  struct Assumed {
    HostPair hosts;
    std::size_t body = 0;
    std::optional<HostPair> asked;
  };

  const char* see_packet(std::size_t file, const pcapng::Packet& packet);
  const char* note_packet(std::size_t file, const pcapng::Packet& packet, const PacketInfo& info,
                          Sender*& sender);
  Sender* find(const PackedFlow& flow);
  const Sender* find(const PackedFlow& flow) const;
  void note_segment(Sender& sender, const PacketInfo& packet);
  static void note_recent(Sender& sender);
  std::uint32_t pair_of(const PacketInfo& packet);
  Sender& new_sender(const PackedFlow& flow, const PacketInfo& packet);
  std::string reasons() const;
  void settle_files();
  void settle_key(Sender& sender) const;
  std::uint32_t longest(const Sender& sender, bool& told) const;
  std::uint32_t wire_size(const Sender& sender) const;

  std::vector<Capture> files_;
  std::vector<Reading> readings_;                // of the files
  std::map<std::string, std::uint64_t> unread_;  // packets, by reason
  std::map<Hosts, std::uint32_t> pair_numbers_;
  std::vector<Exchange> pairs_;
  PackedFlow::Hash flow_hash_;
  DigestTable sender_numbers_;  // by that hash
  std::vector<Sender> senders_;
  std::uint32_t chosen_ = UINT32_MAX;  // of pairs_
  std::size_t body_ = 32;              // payload bytes that every capture has of every packet
  bool offloaded_ = false;             // some packets stand for several
  bool options_cut_ = false;           // some TCP options are not in some file
  HostPair hosts_;
  std::optional<HostPair> asked_;
  std::optional<Assumed> assumed_;
  bool wrong_ = false;
  std::uint64_t other_packets_ = 0;
};

}  // namespace fieldline::analysis
