// SPDX-License-Identifier: Apache-2.0
#include "analysis/ledger.h"

#include <algorithm>
#include <bit>

#include "base/text.h"
#include "proto/digest.h"
#include "proto/frame.h"

namespace fieldline::analysis {
namespace {

using nlohmann::json;

constexpr const char* kMalformed = "report_malformed";
constexpr std::array<const char*, 2> kDirections{"forward", "reverse"};

std::optional<Tally> read_tally(const json& document, const char* direction) {
  const auto flows = document.find("flows");
  if (flows == document.end() || !flows->is_object() || !flows->contains(direction))
    return std::nullopt;
  const json& flow = (*flows)[direction];
  const auto packets = number_in(flow, "packets");
  if (!packets) return std::nullopt;
  Tally tally;
  tally.packets = *packets;
  tally.bytes = number_in(flow, "bytes").value_or(0);
  tally.sampled_out = number_in(flow, "sampled_out").value_or(0);
  const auto note = [&](const char* name, std::optional<std::uint64_t> value) {
    if (value && *value > 0) tally.dropped[name] = *value;
  };
  note("ring", number_in(flow, "dropped_ring"));
  note("read", number_in(flow, "dropped_read"));
  if (const auto found = document.find("dropped_spool"); found != document.end()) {
    note("spool", number_in(*found, direction));
  }
  return tally;
}

GapBook::Drops read_event_drops(const json& document) {
  GapBook::Drops drops;
  const auto events = document.find("events");
  if (events == document.end()) return drops;
  drops["ring"] = number_in(*events, "lost").value_or(0);
  drops["hook"] = number_in(*events, "missed").value_or(0);
  drops["spool"] = number_in(*events, "dropped_spool").value_or(0);
  return drops;
}

std::map<std::string, std::uint64_t> read_nics(const json& document) {
  std::map<std::string, std::uint64_t> nics;
  const auto found = document.find("nics");
  if (found == document.end() || !found->is_array()) return nics;
  for (const json& nic : *found) {
    const auto port = string_in(nic, "interface");
    const auto dropped = number_in(nic, "dropped");
    if (port && dropped && *dropped > 0) nics[*port] += *dropped;
  }
  return nics;
}

// One that is none is read as the next coarser: less is concluded from it.
std::uint8_t sample_bits_in(const json& document) {
  const std::uint64_t n = std::max<std::uint64_t>(number_in(document, "sample_n").value_or(1), 1);
  const auto bits = static_cast<unsigned>(std::bit_width(n - 1));
  return static_cast<std::uint8_t>(std::min<unsigned>(bits, FL_SAMPLE_BITS_MAX));
}

std::string list(const std::map<std::string, std::uint64_t>& dropped) {
  std::string text;
  for (const auto& [name, count] : dropped)
    text += (text.empty() ? "" : ", ") + name + " " + grouped(count);
  return text;
}

}  // namespace

std::optional<std::uint64_t> number_in(const json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_integer()) return std::nullopt;
  if (!found->is_number_unsigned() && found->get<std::int64_t>() < 0) return std::nullopt;
  return found->get<std::uint64_t>();
}

std::optional<std::string> string_in(const json& object, const char* key) {
  if (!object.is_object()) return std::nullopt;
  const auto found = object.find(key);
  if (found == object.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

bool NumberSet::insert(std::uint64_t number) {
  if (!newest_ || newest_at_ != number >> 9) {
    newest_at_ = number >> 9;
    newest_ = &blocks_[newest_at_];
  }
  auto& word = (*newest_)[number >> 6 & 7];
  const std::uint64_t bit = 1ull << (number & 63);
  if (word & bit) return false;
  word |= bit;
  first_ = count_ == 0 ? number : std::min(first_, number);
  last_ = count_ == 0 ? number : std::max(last_, number);
  ++count_;
  return true;
}

void Tally::add(const Tally& other) {
  packets += other.packets;
  bytes += other.bytes;
  sampled_out += other.sampled_out;
  for (const auto& [name, count] : other.dropped) dropped[name] += count;
}

std::uint64_t Tally::dropped_sum() const {
  std::uint64_t sum = 0;
  for (const auto& [name, count] : dropped) sum += count;
  return sum;
}

Ledger::Page Ledger::open(const std::string& sensor, const std::string& session) {
  Sensor& book = sensors_[sensor];
  return {&book, &book.sessions[session]};
}

bool Ledger::record(const Page& page, bool reverse, std::optional<std::uint64_t> number,
                    std::uint32_t packets) {
  if (number && page.numbers_ && !page.numbers_->insert(*number)) return false;
  page.sensor_->records[reverse] += packets;
  return true;
}

const char* Ledger::report(std::uint8_t type, const json& document, const std::string& session,
                           std::uint64_t number) {
  const auto sensor = string_in(document, "sensor");
  if (type == FL_FRAME_CLOCK_QUALITY)
    return sensor && clocks_[*sensor].take(document) ? nullptr : kMalformed;
  if (type != FL_FRAME_ACTIVATION && type != FL_FRAME_FINAL_COUNTS &&
      type != FL_FRAME_CONFIGURATION) {
    return nullptr;
  }
  if (!sensor) return kMalformed;
  if (type == FL_FRAME_CONFIGURATION) {
    domains_[*sensor] = string_in(document, "domain").value_or("");
    return nullptr;
  }
  const GapBook::Word word{*sensor, session, number, document};
  if (const char* problem = type == FL_FRAME_ACTIVATION ? activation(word) : counts(word))
    return problem;
  // Reports are numbered with the records; without a session's name they can only be the one
  // session's.
  if (const auto book = sensors_.find(*sensor); book != sensors_.end()) {
    auto& sessions = book->second.sessions;
    const auto own =
        session.empty() && sessions.size() == 1 ? sessions.begin() : sessions.find(session);
    if (own != sessions.end() && number != 0) own->second.insert(number);
  }
  return nullptr;
}

const char* Ledger::activation(const GapBook::Word& word) {
  const auto& [sensor, session, number, document] = word;
  const auto event = string_in(document, "event");
  const auto at_ns = number_in(document, "at_ns");
  if (!event || !at_ns) return kMalformed;
  if (*event == "refused") {
    // A refusal is repeated for each pulse; it is listed once.
    const auto same = [&](const json& other) {
      return string_in(other, "sensor") == word.sensor &&
             other.value("rule", json()) == word.document.value("rule", json()) &&
             other.value("reason", json()) == word.document.value("reason", json());
    };
    if (std::none_of(refusals_.begin(), refusals_.end(), same)) refusals_.push_back(document);
    return nullptr;
  }
  Sensor& book = sensors_[sensor];
  if (*event == "started") {
    book.started.insert(*at_ns);
    gaps_.started(word);
  }
  book.sample_bits = std::max(book.sample_bits, sample_bits_in(document));
  counts_alone_ |= string_in(document, "verb") == "count";
  book.is_host |= string_in(document, "role") == "host";
  if (*event == "started" && document.contains("system") && document["system"].is_object())
    system(document["system"], sensor);
  // The classifier ceases at the deadline; the daemon reports it once it has drained.
  const std::uint64_t deadline_ns = number_in(document, "deadline_ns").value_or(0);
  const bool expired = string_in(document, "reason") == "expired" && deadline_ns != 0;
  if (*event == "ended") {
    const std::uint64_t ended_ns = expired ? std::min(*at_ns, deadline_ns) : *at_ns;
    book.ended.insert(ended_ns);
    gaps_.ended(word, ended_ns);
  }
  if (grant_.is_null() && document.contains("grant") && document["grant"].is_object())
    grant_ = document["grant"];
  if (principal_.is_null()) principal_ = document.value("principal", json());
  return nullptr;
}

// A document whose clock is missing or odd has told of no clock.
void Ledger::system(const json& system, const std::string& sensor) {
  systems_[sensor] = system;
  if (system.contains("clock")) clocks_[sensor].take_start(system["clock"]);
}

const char* Ledger::counts(const GapBook::Word& word) {
  const auto& [name, session, number, document] = word;
  Sensor& sensor = sensors_[name];
  const auto at_ns = number_in(document, "at_ns");
  const auto final = document.find("final");
  if (!at_ns || final == document.end() || !final->is_boolean()) return kMalformed;
  Counts counts{*at_ns, session, {}, read_nics(document)};
  GapBook::Drops drops = read_event_drops(document);
  sensor.sample_bits = std::max(sensor.sample_bits, sample_bits_in(document));
  for (const bool reverse : {false, true}) {
    const auto tally = read_tally(document, kDirections[reverse]);
    if (!tally) return kMalformed;
    counts.directions[reverse] = *tally;
    for (const auto& [cause, count] : tally->dropped) drops[cause] += count;
  }
  gaps_.counted(word, drops);
  // It owes counts, even if nothing else of it ever came.
  if (auto next = string_in(document, "continued_in"); next && !next->empty())
    sensor.sessions.try_emplace(*next);
  if (final->get<bool>()) {
    sensor.finals[{session, *at_ns}] = counts;
  } else if (!sensor.newest || sensor.newest->at_ns <= *at_ns) {
    sensor.newest = counts;
  }
  return nullptr;
}

std::size_t Ledger::Sensor::finals_expected() const {
  return std::max<std::size_t>({sessions.size(), started.size(), 1});
}

void Ledger::capture(const std::string& name, std::uint64_t first_ns, std::uint64_t last_ns,
                     std::optional<std::uint64_t> dropped) {
  sensors_[name].capture = {first_ns, last_ns, dropped};
}

bool Ledger::final(const std::string& sensor) const {
  const auto book = sensors_.find(sensor);
  if (book != sensors_.end() && book->second.capture) return true;
  return book != sensors_.end() && book->second.finals.size() >= book->second.finals_expected();
}

bool Ledger::knows_drops(const std::string& sensor) const {
  const auto book = sensors_.find(sensor);
  if (book == sensors_.end()) return false;
  return book->second.capture ? book->second.capture->dropped.has_value() : final(sensor);
}

Watch Ledger::watch(const std::string& sensor) const {
  Watch watch;
  const auto book = sensors_.find(sensor);
  if (book == sensors_.end()) return watch;
  watch.final = final(sensor);
  watch.sample_bits = book->second.sample_bits;
  watch.drained = watch.final && !book->second.capture;
  if (const auto& capture = book->second.capture) {
    watch.started_ns = capture->first_ns;
    watch.ended_ns = capture->last_ns;
  }
  if (!book->second.started.empty()) watch.started_ns = *book->second.started.begin();
  if (!book->second.ended.empty()) watch.ended_ns = *book->second.ended.rbegin();
  return watch;
}

Tally Ledger::tally(const std::string& sensor, bool reverse) const {
  Tally sum;
  const auto book = sensors_.find(sensor);
  if (book == sensors_.end()) return sum;
  if (const auto& capture = book->second.capture) {
    sum.packets = book->second.records[reverse];
    if (capture->dropped.value_or(0)) sum.dropped["capture"] = *capture->dropped;
    return sum;
  }
  for (const auto& [key, counts] : book->second.finals) sum.add(counts.directions[reverse]);
  if (!final(sensor) && book->second.newest) {
    const Counts& newest = *book->second.newest;
    const bool covered =
        std::any_of(book->second.finals.begin(), book->second.finals.end(),
                    [&](const auto& one) { return one.second.at_ns >= newest.at_ns; });
    if (!covered) sum.add(newest.directions[reverse]);
  }
  return sum;
}

std::string Ledger::without_final(const std::string& name, const Sensor& sensor) {
  std::set<std::string> heard;
  for (const auto& [key, counts] : sensor.finals) heard.insert(counts.session);
  std::string sessions;
  std::uint64_t missing = 0;
  for (const auto& [session, numbers] : sensor.sessions) {
    if (session.empty() || heard.count(session)) continue;
    sessions += (sessions.empty() ? "" : ", ") + session;
    missing += numbers.missing();
  }
  const bool one_of = !sensor.finals.empty() && sensor.sessions.size() > 1 && heard.count("");
  std::string line = sessions.empty()
                         ? "no final count from sensor " + name
                         : "no final count from session " + std::string(one_of ? "(one of) " : "") +
                               sessions + " (sensor " + name + ")";
  if (missing) line += ", of which " + grouped(missing) + " item numbers are not here";
  return line + ": how much it saw and dropped is not known, so a loss beside " + name +
         " may be its own";
}

void Ledger::check_balance(const std::string& name, const Sensor& sensor, bool reverse,
                           std::vector<std::string>& lines) const {
  const Tally sum = tally(name, reverse);
  const std::uint64_t accounted = sensor.records[reverse] + sum.dropped_sum() + sum.sampled_out;
  if (final(name) && accounted != sum.packets) {
    std::string sessions;
    for (const auto& [session, numbers] : sensor.sessions) {
      sessions += (sessions.empty() ? "session " : ", ") + session;
      if (numbers.missing())
        sessions += " (" + grouped(numbers.missing()) + " item numbers are not here)";
    }
    const bool fewer = accounted < sum.packets;
    lines.push_back(
        "sensor " + name + (sessions.empty() ? "" : ", ") + sessions + ", " + kDirections[reverse] +
        ": " + grouped(fewer ? sum.packets - accounted : accounted - sum.packets) + " packets " +
        (fewer ? "are in its final count, but neither here nor counted as dropped or sampled out"
               : "more than in its final count") +
        ": losses beside " + name + " are in doubt by that many");
  }
  if (!sum.dropped.empty()) {
    lines.push_back("sensor " + name + ", " + kDirections[reverse] + ": dropped " +
                    grouped(sum.dropped_sum()) + " itself (" + list(sum.dropped) +
                    "): losses beside " + name + " are in doubt by that many");
  }
}

void Ledger::doubt_nics(const std::string& name, const Sensor& sensor,
                        std::vector<std::string>& lines) {
  std::map<std::string, std::uint64_t> nics;
  std::uint64_t sum = 0;
  for (const auto& [key, counts] : sensor.finals) {
    for (const auto& [port, dropped] : counts.nics) {
      nics[port] += dropped;
      sum += dropped;
    }
  }
  if (sum == 0) return;
  lines.push_back("sensor " + name + ": its NICs dropped " + grouped(sum) +
                  " packets while the run was on, of this run or others, in front of the sensor (" +
                  list(nics) + "): losses beside " + name + " are in doubt by up to that many");
}

void Ledger::doubt_captures(std::vector<std::string>& lines) const {
  std::string silent;
  for (const auto& [name, sensor] : sensors_) {
    if (!sensor.capture || sensor.capture->dropped == 0u) continue;
    if (!sensor.capture->dropped) {
      silent += (silent.empty() ? "" : ", ") + name;
    } else {
      lines.push_back(name + ": its recorder dropped " + grouped(*sensor.capture->dropped) +
                      ": losses beside it are in doubt by that many");
    }
  }
  if (!silent.empty()) {
    lines.push_back(silent +
                    ": the file does not say what its recorder dropped (pcapng by dumpcap does; "
                    "tcpdump prints it at its end): a loss beside it may be its own");
  }
}

void Ledger::doubt_samples(std::vector<std::string>& lines) const {
  if (counts_alone_) {
    lines.push_back(
        "counters alone were asked for: which packets were lost, and delays, are not told");
    return;
  }
  for (const auto& [name, sensor] : sensors_) {
    if (sensor.sample_bits == 0 || sensor.is_host) continue;
    lines.push_back("sensor " + name + " records 1 of " +
                    grouped(std::uint64_t{1} << sensor.sample_bits) +
                    " packets: losses and delays beside it are of these, and what was sent again "
                    "is not told");
  }
}

std::vector<std::string> Ledger::counting() const {
  std::vector<std::string> names;
  for (const auto& [name, sensor] : sensors_) {
    if (!sensor.is_host && !sensor.started.empty()) names.push_back(name);
  }
  std::stable_sort(names.begin(), names.end(), [this](const auto& a, const auto& b) {
    return *sensors_.at(a).started.begin() < *sensors_.at(b).started.begin();
  });
  return names;
}

std::string Ledger::domain_of(const std::string& sensor) const {
  const auto found = domains_.find(sensor);
  return found == domains_.end() ? "" : found->second;
}

std::vector<Gap> Ledger::gaps() const {
  std::vector<Gap> gaps = gaps_.gaps();
  for (const auto& [name, clock] : clocks_) {
    for (const RecordedClock::Step& step : clock.steps()) {
      gaps.push_back({name, Gap::What::clock_set, step.of_tai_offset ? "tai_offset" : "utc",
                      step.from_ns, step.to_ns, std::nullopt, step.by_ns});
    }
  }
  sort_by_begin(gaps);
  return gaps;
}

std::vector<std::string> Ledger::incomplete() const {
  std::vector<std::string> lines;
  for (const auto& [name, sensor] : sensors_) {
    if (sensor.capture) continue;
    if (!final(name)) lines.push_back(without_final(name, sensor));
    for (const bool reverse : {false, true}) check_balance(name, sensor, reverse, lines);
    doubt_nics(name, sensor, lines);
  }
  const auto doubts = doubts_of(gaps_.gaps());
  lines.insert(lines.end(), doubts.begin(), doubts.end());
  doubt_captures(lines);
  doubt_samples(lines);
  return lines;
}

}  // namespace fieldline::analysis
