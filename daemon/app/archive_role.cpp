// SPDX-License-Identifier: Apache-2.0
#include "app/archive_role.h"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "base/event.h"
#include "base/file.h"
#include "base/port_totals.h"
#include "stream/document.h"

namespace fieldline::app {

using nlohmann::json;

namespace {

constexpr std::uint64_t kRunsDefault = 100, kRunsLimit = 10'000;

bool matches_any(const std::vector<std::string>& patterns, const std::string& principal) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const auto& pattern) {
    return sense::matches_pattern(pattern, principal);
  });
}

// json converts from and to everything, so that Result<json> must be told which it is.
Result<json> document(json value) {
  return Result<json>(boost::system::in_place_value, std::move(value));
}

}  // namespace

Result<std::unique_ptr<ArchiveRole>> ArchiveRole::start(boost::asio::io_context& io,
                                                        const ArchiveConfig& config) {
  auto identity = stream::load_or_create_identity(config.identity, "archive");
  if (!identity) return identity.error();
  auto readers = read_file(config.readers);
  if (!readers) return std::move(readers.error()).in("[archive] readers");
  archive::Options options;
  options.directory = config.directory;
  options.chunk_bytes = config.chunk_bytes;
  options.rules = config.retention;
  auto archive = archive::Archive::open(options);
  if (!archive) return std::move(archive.error()).in("archive in " + config.directory);
  if (auto cut = (*archive)->counters().torn_bytes_cut; cut > 0) {
    spdlog::warn("{}: cut {} bytes of unfinished blocks; nothing acknowledged was among them",
                 config.directory, cut);
  }

  std::unique_ptr<ArchiveRole> role(
      new ArchiveRole(io, config, sense::Trust::parse(*readers), std::move(*archive)));
  stream::ServerOptions server;
  server.address = config.address;
  server.port = config.port;
  auto listening = stream::Server::listen(io.get_executor(), server, *identity, *role);
  if (!listening) return listening.error();
  role->server_ = std::move(*listening);
  spdlog::info("archive in {}: listening on port {}, key {}", config.directory,
               role->server_->port(), stream::to_string(identity->fingerprint));
  role->house_.start();
  return role;
}

ArchiveRole::ArchiveRole(boost::asio::io_context& io, const ArchiveConfig& config,
                         sense::Trust readers, std::unique_ptr<archive::Archive> archive)
    : config_(config),
      readers_(std::move(readers)),
      archive_(std::move(archive)),
      house_(io, *archive_),
      applications_(config_.applications),
      source_{io.get_executor(), *archive_, {}},
      refusals_(io) {
  house_.set_rules(config_.retention);
  for (const auto& line : readers_.refused) {
    spdlog::warn("{}:{}: line refused: {}", config_.readers, line.line, line.reason);
  }
}

Result<void> ArchiveRole::reload(const ArchiveConfig& config) {
  auto readers = read_file(config.readers);
  if (!readers) return std::move(readers.error()).in("[archive] readers");
  readers_ = sense::Trust::parse(*readers);
  config_.producers = config.producers;
  config_.see_all = config.see_all;
  config_.admins = config.admins;
  applications_.set_limits(config.applications);
  house_.set_rules(config.retention);
  server_->recheck();
  source_.followers.wake_all();  // whoever saw more than he may now ends
  return {};
}

boost::asio::awaitable<void> ArchiveRole::stop() {
  house_.stop();
  co_await server_->close();
  auto closed = archive_->close();
  if (!closed) spdlog::error("closing the archive: {}", closed.error().text());
}

std::string ArchiveRole::summary() const {
  return "archive: " + std::to_string(statuses_.size()) + " sensors, " +
         std::to_string(archive_->counters().records) + " records since start";
}

// -- producers

Result<void> ArchiveRole::admit(const stream::ProducerHello& hello) {
  const std::string key = stream::to_string(hello.key);
  if (hello.proof) {
    auto owner = applications_.admit(hello, readers_, clock_.utc_ns());
    if (owner) return {};
    refusals_.warn("an application on '" + hello.name + "' with key " + key +
                   " was refused: " + owner.error().text());
    return owner.error();
  }
  for (const ProducerPin& pin : config_.producers) {
    if (pin.key != hello.key) continue;
    if (pin.name == hello.name) return {};
    refusals_.warn("the sensor that calls itself '" + hello.name + "' was refused: its key " + key +
                   " is pinned for '" + pin.name + "'");
    return fail(Code::denied, "this archive pins your key for the sensor '" + pin.name +
                                  "', but you call yourself '" + hello.name +
                                  "'; make the sensor's name and the archive's "
                                  "[[archive.producer]] name equal, and reload");
  }
  refusals_.warn("a producer that calls itself '" + hello.name + "' with key " + key +
                 " was refused: not among [[archive.producer]]");
  return fail(Code::denied, "this archive does not take records from key " + key +
                                "; its operator adds it as [[archive.producer]] and reloads");
}

Result<std::uint64_t> ArchiveRole::open_session(const stream::ProducerHello& hello) {
  const std::string key = stream::to_string(hello.key);
  if (hello.proof) {
    auto owner = applications_.admit(hello, readers_, clock_.utc_ns());
    if (!owner) return owner.error();
    auto resume = archive_->open_session(hello.session, key, hello.name, {}, *owner);
    if (!resume) return resume;
    applications_.opened(hello.session, owner->run);
    spdlog::info("application of {} on {} connected, run {}, resumes after {}", owner->principal,
                 hello.name, owner->run.brief(), *resume);
    return resume;
  }
  auto resume = archive_->open_session(hello.session, key, hello.name, hello.domain);
  if (!resume) return resume;
  statuses_.opened(hello.session, hello);
  spdlog::info("sensor {} connected, session {}, resumes after {}", hello.name,
               hello.session.brief(), *resume);
  return resume;
}

Result<void> ArchiveRole::store(const RunId& session, const stream::Frame& frame,
                                const stream::Item& item) {
  auto taken = applications_.judge(session, frame.type, item);
  if (!taken) return taken;
  if (frame.type == FL_FRAME_EVENT_RECORDS) {
    auto events = parse_events(item.body);
    if (events && events->session != session)
      return fail(Code::invalid, "event records that name another session than their producer's");
  }
  if (frame.type == FL_FRAME_PORT_TOTALS) {
    auto totals = parse_totals(item.body);
    if (totals && totals->session != session)
      return fail(Code::invalid, "port totals that name another session than their producer's");
  }
  if (frame.type != FL_FRAME_HEADER_RECORDS) {
    return archive_->append(
        session, pcapng::Report{frame.type, frame.encoding, item.sequence, item.run, item.body});
  }
  std::uint64_t sequence = item.sequence;
  Result<void> stored;
  auto walked = stream::for_each_record(item, [&](const stream::HeaderRecord& from) {
    if (!stored) return;
    archive::Record record;
    record.run = item.run;
    record.sequence = sequence++;
    record.timestamp_ns = from.head.timestamp_ns;
    record.wire_len = from.head.wire_len;
    record.port = from.head.port;
    record.meta.magic = FL_PCAPNG_MAGIC;
    record.meta.queue = from.head.queue;
    record.meta.flags = from.head.flags;
    record.meta.digest = from.head.digest;
    record.meta.gso_size = from.head.gso_size;
    record.meta.gso_segs = from.head.gso_segs;
    record.data = from.data;
    stored = archive_->append(session, record);
  });
  return walked ? stored : walked;
}

void ArchiveRole::status(const RunId& session, const json& status) {
  if (applications_.refuse_status(session)) return;
  auto taken = statuses_.take(session, status);
  if (!taken) refusals_.warn(taken.error().text());
}

void ArchiveRole::close_session(const RunId& session) {
  statuses_.closed(session);
  applications_.closed(session);
  auto closed = archive_->close_session(session);
  if (!closed) spdlog::error("session {}: {}", session.brief(), closed.error().text());
}

Result<void> ArchiveRole::sync(const std::function<void(const RunId&, std::uint64_t)>& safe) {
  auto synced = archive_->sync(safe);
  house_.tell_sync(synced);
  source_.followers.wake_all();
  return synced;
}

// -- readers

Result<std::string> ArchiveRole::authenticate(ByteView exporter, const json& auth) {
  auto signature = sense::parse_sshsig(stream::string_of(auth, "signature"));
  if (!signature) return signature.error();
  const sense::Signer* signer = readers_.find(signature->key, FL_QUERY_NAMESPACE, clock_.utc_ns());
  if (signer == nullptr || signature->name_space != FL_QUERY_NAMESPACE ||
      !sense::verify(signature->key, sense::sshsig_preimage(FL_QUERY_NAMESPACE, exporter),
                     signature->signature)) {
    return fail(Code::denied, "this archive does not know the key " +
                                  sense::ssh_fingerprint(signature->key) +
                                  "; its operator adds a line for it to " + config_.readers);
  }
  return signer->principals.front();
}

archive::Principal ArchiveRole::view_of(const std::string& principal) const {
  bool sees_all = matches_any(config_.see_all, principal) || matches_any(config_.admins, principal);
  return sees_all ? archive::Principal() : principal;
}

Result<std::unique_ptr<stream::Answer>> ArchiveRole::request(const std::string& principal,
                                                             const json& request,
                                                             std::function<void()> on_more) {
  const std::string op = stream::string_of(request, "op");
  const archive::Principal view = view_of(principal);
  if (op == "query") {
    std::string name = stream::string_of(request, "run");
    auto run = name.size() == 32 ? RunId::parse(name) : archive_->resolve(name, view);
    if (!run) return run.error();
    auto query = parse_query(request, *run);
    if (!query) return query.error();
    query->reader = view;
    auto stands = [this, principal, view] { return view_of(principal) == view; };
    return query_answer(source_, std::move(*query), stands, std::move(on_more));
  }
  if (op == "reindex") {
    if (matches_any(config_.admins, principal)) return reindex_answer(source_, std::move(on_more));
    return fail(Code::denied,
                "only an admin may rebuild the index; the archive's `admins` names them");
  }
  auto result = answer_at_once(principal, request);
  if (!result) return result.error();
  return result_answer(std::move(*result));
}

Result<json> ArchiveRole::answer_at_once(const std::string& principal, const json& request) {
  const std::string op = stream::string_of(request, "op");
  const archive::Principal view = view_of(principal);
  if (op == "status") return document(status_document());
  if (op == "runs") return list_runs(request, view);
  if (op == "prune")
    return house_.prune(request, principal, matches_any(config_.admins, principal), view);
  return fail(Code::unsupported,
              "this archive knows no request '" + op + "'; is the client newer than it?");
}

Result<json> ArchiveRole::list_runs(const json& request, const archive::Principal& view) {
  const std::uint64_t asked = stream::number_of(request, "limit");
  const std::uint64_t limit = asked == 0 ? kRunsDefault : std::min(asked, kRunsLimit);
  if (auto deleted = request.find("deleted"); deleted != request.end() && *deleted == true)
    return document({{"deleted", house_.deletions(limit, view)}});
  std::optional<RunId> before;
  if (const std::string name = stream::string_of(request, "before"); !name.empty()) {
    auto run = archive_->resolve(name, view);
    if (!run) return run.error();
    before = *run;
  }
  auto runs = archive_->runs(limit, view, before);
  if (!runs) return runs.error();
  json list = json::array();
  for (const auto& run : *runs) list.push_back(to_json(run));
  return document({{"runs", list}});
}

json ArchiveRole::status_document() const {
  auto a = archive_->counters();
  auto s = server_->counters();
  json archive = {{"records", a.records},
                  {"reports", a.reports},
                  {"bytes", a.bytes},
                  {"duplicates", a.duplicates},
                  {"gaps", a.gaps},
                  {"syncs", a.syncs},
                  {"chunks_sealed", a.chunks_sealed},
                  {"torn_bytes_cut", a.torn_bytes_cut},
                  {"write_errors", a.write_errors},
                  {"index_errors", a.index_errors},
                  {"runs_deleted", a.runs_deleted},
                  {"chunks_deleted", a.chunks_deleted},
                  {"bytes_deleted", a.bytes_deleted},
                  {"connections", s.connections},
                  {"refused_keys", s.refused_keys},
                  {"refused_readers", s.refused_readers},
                  {"refused_statuses", statuses_.refused()},
                  {"bad_frames", s.bad_frames},
                  {"unknown_frames", s.unknown_frames},
                  {"tls_failures", s.tls_failures},
                  {"over_limit", s.over_limit},
                  {"hello_timeouts", s.hello_timeouts},
                  {"refused_versions", s.refused_versions},
                  {"sync_errors", s.sync_errors},
                  {"store_errors", s.store_errors},
                  {"faults", s.faults}};
  archive.update(house_.status());
  archive["applications"] = applications_.status();
  return {{"archive", archive}, {"sensors", statuses_.list()}};
}

}  // namespace fieldline::app
