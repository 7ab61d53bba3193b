// SPDX-License-Identifier: Apache-2.0
#include "archive/summary.h"

#include <algorithm>

#include "proto/frame.h"

namespace fieldline::archive {

namespace {

constexpr int kMaxDepth = 32;
constexpr const char* kChunkSchema = "fieldline.chunk/1";

void earliest(std::uint64_t& known, std::uint64_t at_ns) {
  if (at_ns != 0 && (known == 0 || at_ns < known)) known = at_ns;
}

}  // namespace

// What is nested deeper is left out: copying and printing a json recurses.
nlohmann::json parse_object(ByteView payload) {
  auto shallow = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    return depth <= kMaxDepth;
  };
  auto value = nlohmann::json::parse(payload.begin(), payload.end(), shallow, false);
  return value.is_object() ? value : nlohmann::json::object();
}

std::string string_of(const nlohmann::json& object, const char* member) {
  auto at = object.find(member);
  return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

std::uint64_t number_of(const nlohmann::json& object, const char* member) {
  auto at = object.find(member);
  return at != object.end() && at->is_number_unsigned() ? at->get<std::uint64_t>() : 0;
}

bool flag_of(const nlohmann::json& object, const char* member) {
  auto at = object.find(member);
  return at != object.end() && at->is_boolean() && at->get<bool>();
}

std::string dump(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::optional<bool> says_on(const pcapng::Report& report) {
  if (report.type == FL_FRAME_ACTIVATION &&
      string_of(parse_object(report.payload), "event") == "started")
    return true;
  if (report.type == FL_FRAME_FINAL_COUNTS && flag_of(parse_object(report.payload), "final"))
    return false;
  return std::nullopt;
}

Result<void> SessionInfo::check_same(const SessionInfo& other) const {
  if (producer == other.producer && owner == other.owner) return {};
  return fail(Code::denied,
              "session " + id.hex() + " belongs to another key or run; restart the producer");
}

std::string ChunkHead::comment() const {
  nlohmann::json object = {
      {"schema", kChunkSchema}, {"session", session.id.hex()}, {"producer", session.producer},
      {"name", session.name},   {"domain", session.domain},    {"number", number},
      {"first", first}};
  if (session.owner) {
    object["application"] = {{"run", session.owner->run.hex()},
                             {"principal", session.owner->principal},
                             {"opened_ns", session.opened_ns}};
  }
  return dump(object);
}

std::optional<ChunkHead> ChunkHead::parse(std::string_view comment) {
  auto object = parse_object(view(comment));
  auto session = RunId::parse(string_of(object, "session"));
  if (string_of(object, "schema") != kChunkSchema || !session) return std::nullopt;
  ChunkHead head;
  head.session = {*session, string_of(object, "producer"), string_of(object, "name"),
                  string_of(object, "domain")};
  if (auto application = object.find("application"); application != object.end()) {
    auto run = RunId::parse(string_of(*application, "run"));
    if (!run) return std::nullopt;
    head.session.owner = Owner{*run, string_of(*application, "principal")};
    head.session.opened_ns = number_of(*application, "opened_ns");
  }
  head.number = static_cast<std::uint32_t>(number_of(object, "number"));
  head.first = number_of(object, "first");
  return head;
}

std::string InterfaceHead::comment() const {
  return dump({{"run", run.hex()},
               {"sensor", sensor},
               {"domain", domain},
               {"port", port},
               {"interface", interface},
               {"session", session.hex()}});
}

std::optional<InterfaceHead> InterfaceHead::parse(std::string_view comment) {
  auto object = parse_object(view(comment));
  auto run = RunId::parse(string_of(object, "run"));
  auto session = RunId::parse(string_of(object, "session"));
  auto port = number_of(object, "port");
  if (!run || !session || port > 0xffff) return std::nullopt;
  InterfaceHead head;
  head.run = *run;
  head.session = *session;
  head.sensor = string_of(object, "sensor");
  head.domain = string_of(object, "domain");
  head.interface = string_of(object, "interface");
  head.port = static_cast<std::uint16_t>(port);
  return head;
}

void Summary::add(const pcapng::Block& block) {
  std::visit([this](const auto& one) { add(one); }, block);
}

void Summary::add(const pcapng::Section& section) {
  interface_runs_.clear();
  if (auto parsed = ChunkHead::parse(section.comment)) {
    head = *parsed;
    known = true;
  }
}

void Summary::add(const pcapng::Interface& interface) {
  auto parsed = InterfaceHead::parse(interface.comment);
  interface_runs_.push_back(parsed ? parsed->run : RunId{});
}

const RunId* Summary::run_of(std::uint32_t interface) const {
  if (interface >= interface_runs_.size() || interface_runs_[interface].is_zero()) return nullptr;
  return &interface_runs_[interface];
}

void Summary::add(const pcapng::Packet& packet) {
  const RunId* run = run_of(packet.interface);
  if (run == nullptr || !packet.sequence) return;
  RunPart& part = runs[*run];
  part.first_ns =
      part.records == 0 ? packet.timestamp_ns : std::min(part.first_ns, packet.timestamp_ns);
  part.last_ns = std::max(part.last_ns, packet.timestamp_ns);
  earliest(part.began_ns, packet.timestamp_ns);
  part.records++;
  part.changed = true;
  records++;
  advance(*packet.sequence);
}

void Summary::add(const pcapng::Report& report) {
  if (report.sequence >= head.first) {
    reports++;
    advance(report.sequence);
  }
  if (report.run.is_zero()) return;
  auto object =
      report.encoding == FL_ENCODING_JSON ? parse_object(report.payload) : nlohmann::json::object();
  RunPart& part = runs[report.run];
  part.reports++;
  part.changed = true;
  earliest(part.began_ns, number_of(object, "at_ns"));
  if (head.session.owner) earliest(part.began_ns, head.session.opened_ns);
  bool final_counts = report.type == FL_FRAME_FINAL_COUNTS && flag_of(object, "final");
  if (report.type == FL_FRAME_ACTIVATION || final_counts) {
    std::string principal =
        report.type == FL_FRAME_ACTIVATION ? string_of(object, "principal") : std::string();
    indexed.push_back({report.run, report.sequence, report.type, dump(object), principal});
  }
}

void Summary::advance(std::uint64_t sequence) {
  if (first_sequence == 0) first_sequence = sequence;
  last_sequence = sequence;
}

void Summary::stored_at(std::uint64_t utc_ns) {
  stored_ns = std::max(stored_ns, utc_ns);
  for (auto& [run, part] : runs) {
    if (part.changed) part.stored_ns = std::max(part.stored_ns, utc_ns);
  }
}

std::uint64_t Summary::newest_ns() const {
  std::uint64_t newest = stored_ns;
  for (const auto& [run, part] : runs) newest = std::max(newest, part.newest_ns());
  return newest;
}

void Summary::indexed_now() {
  indexed.clear();
  for (auto& [run, part] : runs) part.changed = false;
}

}  // namespace fieldline::archive
