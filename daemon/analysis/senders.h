// SPDX-License-Identifier: Apache-2.0
// The TCP sockets of a run's hosts, from the events that the hosts recorded: who sent, and what
// each waited for.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <nlohmann/json.hpp>

#include "analysis/host_resends.h"
#include "analysis/in_order.h"
#include "analysis/read_state.h"
#include "analysis/send_state.h"
#include "analysis/spacing.h"
#include "base/address.h"
#include "base/bytes.h"
#include "base/event.h"
#include "base/run_id.h"

namespace fieldline::analysis {

// Where data passes in a host, on its way out and in.
enum class HostLayer : std::uint8_t {
  application_out,
  tcp_out,
  ip_out,
  device_out,
  device_in,
  ip_in,
  tcp_in,
  application_in
};

struct EventSocket {
  std::string host;
  std::uint64_t cookie = 0;
  std::uint16_t local_port = 0, peer_port = 0;
  std::optional<Address> local, peer;  // where its opening was recorded
  SendState sending;
  ReadState reading;
  std::map<HostLayer, Spacing> layers;  // if asked for; of what carries data

  EventSocket(std::uint64_t interval_ns, std::size_t bins)
      : sending(interval_ns, bins), reading(interval_ns, bins) {}
  // Sent, or tried to.
  std::uint64_t sent() const {
    const SendFacts& facts = sending.facts();
    return std::max({facts.written, facts.acked, facts.waiting});
  }
};

// What a host is, and what it could not record.
struct EventHost {
  std::string name, source;
  std::vector<std::string> absent;
  std::map<std::string, std::uint64_t> lost;  // named losses of its last counts, none of them 0
  std::uint64_t records = 0, samples = 0, late = 0, bare = 0;
  std::vector<Resent> resent;
  std::vector<NeverLeft> never_left;
};

struct EventSockets {
  std::vector<EventHost> hosts;
  std::vector<EventSocket> sockets;
  std::uint64_t left_out = 0;     // records of more sockets than are kept apart
  std::uint64_t not_sampled = 0;  // sockets that were too many to ask after
};

// Takes hosts' frames as they come; puts each host's records, which come CPU by CPU, in order of
// time, and holds no more than two seconds of them. A value: the report of a running run is made
// from a copy.
class Senders {
 public:
  static constexpr std::size_t kSocketsMost = 16'384;

  // spacing: sizes and gaps at each layer as well.
  explicit Senders(std::uint64_t interval_ns, bool spacing = false)
      : interval_ns_(interval_ns), spacing_(spacing) {}

  bool take(ByteView frame);  // the body of an event frame; false: it cannot be read
  // A report's document: who a host is, and what it lost. Others are passed over.
  void describe(const nlohmann::json& document);
  void take(const RunId& session, const magnet_record_ext& record);
  void take(const RunId& session, const fl_tcp_info& sample);
  void name(const RunId& session, const std::string& host, const std::string& source);
  bool empty() const { return hosts_.empty(); }
  EventSockets finish() const;

 private:
  struct Item {
    std::uint64_t time_ns;
    std::variant<magnet_record_ext, fl_tcp_info> one;

    std::uint64_t time() const { return time_ns; }
  };
  struct Host {
    RunId session;
    EventHost told;
    InOrder<Item> queue;
    std::uint64_t newest_ns = 0, seen_ns = 0;
    std::uint64_t ring_lost = 0;  // as its records say; its counts say it better
    HostResends resends;
    std::map<std::uint64_t, EventSocket> sockets;
    // By local and peer port: the socket of records that have no cookie.
    std::map<std::pair<std::uint16_t, std::uint16_t>, std::uint64_t> cookies;
  };

  Host* host_of(const RunId& session);  // nullptr: there are too many
  void take(Host& host, const magnet_record_ext& record);
  void take(Host& host, const fl_tcp_info& sample);
  void queue(Host& host, Item item);
  void drain(Host& host, std::uint64_t until_ns);
  void see(Host& host, const magnet_record_ext& record);
  void see(Host& host, const fl_tcp_info& sample);
  EventSocket* socket_of(Host& host, std::uint64_t cookie);
  void see_layer(Host& host, const magnet_record_ext& record);

  std::uint64_t interval_ns_;
  bool spacing_;
  std::vector<Host> hosts_;
  std::size_t sockets_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace fieldline::analysis
