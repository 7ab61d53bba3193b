// SPDX-License-Identifier: Apache-2.0
#include "cli/plan.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <tuple>

#include "base/fd.h"
#include "cli/sender.h"

namespace fieldline::cli {

namespace {

using sense::PortPair;

constexpr std::uint8_t kDscp = 0xfc;

bool covers(const PortPair& wide, const PortPair& pair) {
  return (wide.a == 0 || wide.a == pair.a) && (wide.b == 0 || wide.b == pair.b);
}

// Any local port to one remote, and any remote port to one local: a packet may be of both.
bool cross(const PortPair& one, const PortPair& other) {
  auto local_any = [](const PortPair& pair) { return pair.a == 0 && pair.b != 0; };
  auto remote_any = [](const PortPair& pair) { return pair.a != 0 && pair.b == 0; };
  return (local_any(one) && remote_any(other)) || (remote_any(one) && local_any(other));
}

// The any-port pair that stands for most of these and crosses none; {0, 0} if none stands for two.
PortPair widest(const std::vector<PortPair>& pairs) {
  std::map<PortPair, unsigned> shared;
  auto add = [&](const PortPair& wide) {
    bool crosses = std::any_of(pairs.begin(), pairs.end(),
                               [&](const PortPair& pair) { return cross(wide, pair); });
    if (!crosses) ++shared[wide];
  };
  for (const auto& pair : pairs) {
    if (pair.a == 0 || pair.b == 0) continue;
    add({0, pair.b});
    add({pair.a, 0});
  }
  PortPair best;
  unsigned most = 1;
  for (const auto& [pair, count] : shared) {
    if (count > most) {
      most = count;
      best = pair;
    }
  }
  return best;
}

std::string words_for(const PortPair& pair, std::size_t replaced) {
  std::string what = std::to_string(replaced) + " port pairs, and a grant holds " +
                     std::to_string(FL_GRANT_PAIRS_MAX) + ": ";
  if (pair.b != 0)
    return what + "asking for any local port to remote port " + std::to_string(pair.b);
  if (pair.a != 0)
    return what + "asking for any remote port to local port " + std::to_string(pair.a);
  return what + "no port is shared by enough of them; asking for everything between the two hosts";
}

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};

std::optional<Prefix> if_wide(const std::optional<Prefix>& hosts) {
  return hosts && hosts->length < 128 ? hosts : std::nullopt;
}

// Where triggers go to: of the host's addresses the first that the flow has, of the source's family
// if there is a choice.
Result<Address> remote_of(const FlowSpec& spec, const std::vector<Address>& remotes,
                          std::optional<Address> local) {
  const bool open = !spec.remote || spec.remote->length < 128;
  const Address* first = nullptr;
  for (const Address& one : remotes) {
    if (spec.remote && !spec.remote->contains(one)) continue;
    if (!open || !local || one.is_v4() == local->is_v4()) return one;
    if (first == nullptr) first = &one;
  }
  if (first != nullptr) return *first;
  return fail(Code::invalid, "--flow " + spec.to_string() + ": " + spec.remote->to_string() +
                                 (open ? " has no address of the host; ping a host in it"
                                       : " is not an address of the host; ping that address "
                                         "instead"));
}

Result<Plan> plan_of(const FlowSpec& spec, const std::vector<Address>& remotes,
                     std::optional<Address> source, const AskSource& ask_source) {
  Plan plan;
  plan.protocol = spec.protocol;
  plan.local_net = if_wide(spec.local);
  plan.remote_net = if_wide(spec.remote);
  auto local = spec.local && !plan.local_net ? spec.local->address : source;
  auto remote = remote_of(spec, remotes, local);
  if (!remote) return remote.error();
  plan.remote = *remote;
  if (!local) {
    auto found = ask_source(plan.remote);
    if (!found) return found.error();
    local = *found;
  }
  if (plan.local_net && !plan.local_net->contains(*local)) {
    return fail(Code::invalid, "--flow " + spec.to_string() + ": " + local->to_string() +
                                   ", where triggers come from, is not in " +
                                   plan.local_net->to_string() +
                                   "; give --source an address of yours that is");
  }
  if (local->is_v4() != plan.remote.is_v4()) {
    return fail(Code::invalid, "--flow " + spec.to_string() + ": " + local->to_string() +
                                   " cannot reach " + plan.remote.to_string() +
                                   "; choose with -4 or -6, or give --source");
  }
  plan.local = *local;
  if (plan.protocol == IPPROTO_ICMP && !plan.remote.is_v4()) plan.protocol = IPPROTO_ICMPV6;
  plan.pairs = {{spec.local_port, spec.remote_port}};
  return plan;
}

void add_once(std::vector<std::string>& to, const std::string& text) {
  if (!text.empty() && std::find(to.begin(), to.end(), text) == to.end()) to.push_back(text);
}

}  // namespace

bool Plan::covers(const DiagSocket& socket) const {
  return socket.protocol == protocol && host_a().contains(socket.local) &&
         host_b().contains(socket.remote) &&
         std::any_of(pairs.begin(), pairs.end(), [&](const PortPair& pair) {
           return cli::covers(pair, {socket.local_port, socket.remote_port});
         });
}

std::string Plan::to_string() const {
  std::string name = name_of_protocol(protocol);
  if (pairs.size() != 1) {
    return std::to_string(pairs.size()) + " " + name + " flows " + host_a().to_string() + " - " +
           host_b().to_string();
  }
  if (!has_ports(protocol)) {
    return name + " " + host_a().to_string() + " - " + host_b().to_string();
  }
  return name + " " + endpoint_text(host_a(), pairs[0].a) + " - " +
         endpoint_text(host_b(), pairs[0].b);
}

std::vector<PortPair> condense(std::vector<PortPair> pairs, std::vector<std::string>& notes) {
  std::sort(pairs.begin(), pairs.end());
  pairs.erase(std::unique(pairs.begin(), pairs.end()), pairs.end());
  std::vector<PortPair> wide_ones;
  std::copy_if(pairs.begin(), pairs.end(), std::back_inserter(wide_ones),
               [](const PortPair& pair) { return pair.a == 0 || pair.b == 0; });
  std::erase_if(pairs, [&](const PortPair& pair) {
    return std::any_of(wide_ones.begin(), wide_ones.end(),
                       [&](const PortPair& wide) { return wide != pair && covers(wide, pair); });
  });
  while (pairs.size() > FL_GRANT_PAIRS_MAX) {
    PortPair wide = widest(pairs);
    auto rest = std::remove_if(pairs.begin(), pairs.end(),
                               [&](const PortPair& pair) { return covers(wide, pair); });
    notes.push_back(words_for(wide, static_cast<std::size_t>(pairs.end() - rest)));
    pairs.erase(rest, pairs.end());
    pairs.push_back(wide);
  }
  return pairs;
}

std::vector<Plan> plan_sockets(const std::vector<Socket>& sockets, const std::vector<Plan>& known) {
  using Group = std::tuple<std::uint8_t, Address, Address>;
  std::map<Group, std::vector<const Socket*>> groups;
  for (const auto& socket : sockets) {
    bool covered = std::any_of(known.begin(), known.end(),
                               [&](const Plan& plan) { return plan.covers(socket); });
    if (!covered) groups[{socket.protocol, socket.local, socket.remote}].push_back(&socket);
  }
  std::vector<Plan> plans;
  for (const auto& [group, members] : groups) {
    Plan plan;
    std::tie(plan.protocol, plan.local, plan.remote) = group;
    plan.traffic_class = members.front()->tos & kDscp;
    std::vector<PortPair> pairs;
    for (const auto* socket : members) {
      pairs.push_back({socket->local_port, socket->remote_port});
      if ((socket->tos & kDscp) != plan.traffic_class) plan.traffic_class = 0;
      add_once(plan.owners, socket->owner);
    }
    plan.pairs = condense(std::move(pairs), plan.notes);
    plans.push_back(std::move(plan));
  }
  return plans;
}

Result<std::vector<Plan>> plan_flows(const std::vector<FlowSpec>& specs,
                                     const std::vector<Address>& remotes,
                                     std::optional<Address> source, const AskSource& ask_source) {
  std::vector<Plan> plans;
  for (const auto& spec : specs) {
    auto plan = plan_of(spec, remotes, source, ask_source);
    if (!plan) return plan.error();
    auto same = std::find_if(plans.begin(), plans.end(), [&](const Plan& other) {
      return other.protocol == plan->protocol && other.local == plan->local &&
             other.remote == plan->remote && other.host_a() == plan->host_a() &&
             other.host_b() == plan->host_b() &&
             std::none_of(other.pairs.begin(), other.pairs.end(),
                          [&](const PortPair& pair) { return cross(pair, plan->pairs.front()); });
    });
    if (same == plans.end()) {
      plans.push_back(*plan);
    } else {
      same->pairs.push_back(plan->pairs.front());
    }
  }
  for (auto& plan : plans) plan.pairs = condense(std::move(plan.pairs), plan.notes);
  return plans;
}

Result<Address> source_address(const Address& remote) {
  auto to = socket_address(remote, 9);  // discard; connect() of UDP sends nothing
  Fd fd(::socket(to.family(), SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("opening a UDP socket");
  if (::connect(fd.get(), to.get(), to.size) != 0) {
    return fail_errno("no route to " + remote.to_string() + "; give --source ADDR if there is one");
  }
  to.size = sizeof to.storage;
  if (::getsockname(fd.get(), to.get(), &to.size) != 0)
    return fail_errno("asking for the source address");
  return to.address();
}

Result<std::vector<Address>> resolve(const std::string& host, int family) {
  addrinfo hints{}, *raw = nullptr;
  hints.ai_family = family;
  hints.ai_socktype = SOCK_DGRAM;
  int error = ::getaddrinfo(host.c_str(), nullptr, &hints, &raw);
  std::unique_ptr<addrinfo, FreeAddresses> list(raw);
  if (error != 0) {
    return fail(Code::not_found,
                "'" + host + "': " + ::gai_strerror(error) + "; give a host name or an address");
  }
  std::vector<Address> addresses;
  for (const auto* at = list.get(); at != nullptr; at = at->ai_next) {
    SocketAddress one;
    if (at->ai_addrlen > sizeof one.storage) continue;
    std::memcpy(&one.storage, at->ai_addr, at->ai_addrlen);
    one.size = at->ai_addrlen;
    Address address = one.address();
    if (std::find(addresses.begin(), addresses.end(), address) == addresses.end())
      addresses.push_back(address);
  }
  return addresses;
}

}  // namespace fieldline::cli
