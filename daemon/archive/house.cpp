// SPDX-License-Identifier: Apache-2.0
// What goes, and in which order. A run goes whole: first its line in the list of deletions, from
// which on nobody sees it, then each chunk that holds nothing but deleted runs. So there is no
// moment at which a run answers half.
#include <algorithm>

#include "archive/file_archive.h"

namespace fieldline::archive {

namespace {

// What one step does at most.
constexpr std::size_t kRunsAtOnce = 1024, kChunksAtOnce = 16, kLooksAtOnce = 64,
                      kLeftoversAtOnce = 256;
// An open chunk into which nothing came for so long, and of which no run is on, is sealed: only
// sealed ones go.
constexpr std::uint64_t kIdleNs = 3600 * kNanosPerSecond;

constexpr const char* kNothingMayGo =
    "there is less room than [archive.retention] asks for, and what is left is open, being read, "
    "or the newest of its sensor";

bool is_enough(const Tended& tended) {
  return tended.deleted.size() >= kRunsAtOnce || tended.chunks >= kChunksAtOnce;
}

std::uint64_t not_after_of(const RunSummary& run) {
  return run.grant.is_object() ? number_of(run.grant, "not_after_ns") : 0;
}

}  // namespace

Result<bool> FileArchive::stands(const RunId& run) {
  auto parts = index_->parts_of(run, {});
  if (!parts) return parts.error();
  return !parts->empty();
}

Result<void> FileArchive::open_deletions() {
  auto opened = Deletions::open(shelf_);
  if (!opened) return opened.error();
  deletions_.emplace(std::move(*opened));
  for (const auto& deletion : deletions_->newest(deletions_->size(), {})) {
    auto left = stands(deletion.run);
    if (!left) return left.error();
    if (*left) leftovers_.insert(deletion.run);
  }
  return {};
}

// Old ones whose runs still stand stay: leftovers are not asked for again and again.
Result<void> FileArchive::shorten_deletions() {
  if (deletions_->size() <= 2 * options_.deletions_kept + leftovers_.size()) return {};
  return deletions_->shorten(options_.deletions_kept,
                             [this](const RunId& run) { return stands(run); });
}

std::vector<Deletion> FileArchive::deletions(std::size_t limit, const Principal& reader) {
  return deletions_ ? deletions_->newest(limit, reader) : std::vector<Deletion>{};
}

void FileArchive::set_rules(const Rules& rules) {
  options_.rules = rules;
  clock_watch_.trust_again();
}

// -- the disk

// What cannot be asked is taken to be as it was.
void FileArchive::look_at_disk() {
  auto space = shelf_.files.space(options_.directory);
  if (!space) return;
  disk_.total = space->total;
  disk_.free = space->free;
  disk_.floor = floor_of(*space);
  // Twice the floor, so that producers are not let in to be sent away again.
  disk_.is_full = space->free < (disk_.is_full ? 2 : 1) * disk_.floor;
}

Error FileArchive::full() const {
  auto mib = [](std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; };
  return fail(Code::exhausted, "the disk of " + options_.directory + " is full (" +
                                   mib(disk_.free) + " free, " + mib(disk_.floor) +
                                   " are kept for the index); nothing more is taken until there "
                                   "is room: fieldline runs --prune, or keep_free in "
                                   "[archive.retention]");
}

Disk FileArchive::disk() const {
  Disk disk = disk_;
  if (disk.is_full) disk.trouble = full().text();
  return disk;
}

// -- what may go

bool FileArchive::is_long_ago(std::uint64_t newest_ns) const {
  const std::uint64_t now_ns = clock_.utc_ns();  // newest_ns may be anything: sensors tell it
  return clock_watch_.is_right() && now_ns > kAwayNs && now_ns - kAwayNs > newest_ns;
}

bool FileArchive::has_gone_away(const RunId& session, std::uint64_t newest_ns) const {
  return !sessions_.contains(session) && is_long_ago(newest_ns);
}

// The sessions that are connected know it better than the index, which may be behind. But where the
// last reports were lost nobody says it: a run is not on for long behind the end of its grant.
bool FileArchive::is_open(const RunStanding& run) const {
  const std::uint64_t not_after_ns = not_after_of(run.summary);
  if (not_after_ns != 0 && is_long_ago(std::max(not_after_ns, run.newest_ns))) return false;
  for (const auto& [id, session] : sessions_) {
    if (session->is_on(run.summary.run, run.principals)) return true;
  }
  return std::any_of(run.on.begin(), run.on.end(),
                     [&](const RunId& session) { return !has_gone_away(session, run.newest_ns); });
}

// Nothing goes on behind its grant's end, whose last reports come or not. Clocks differ.
void FileArchive::end_with_grant(RunSummary& run) const {
  constexpr std::uint64_t kClocksDiffer = 10 * kNanosPerSecond;
  const std::uint64_t not_after_ns = not_after_of(run), now_ns = clock_.utc_ns();
  if (run.started_ns == 0 || run.ended_ns != 0 || not_after_ns == 0) return;
  if (now_ns > kClocksDiffer && now_ns - kClocksDiffer > not_after_ns)
    run.ended_ns = std::max(not_after_ns, run.started_ns);
}

// The newest chunk of a session is what its producer resumes from.
Result<bool> FileArchive::is_removable(const ChunkRow& chunk) {
  if (!chunk.sealed) return false;
  auto succeeded = index_->has_successor(chunk.name);
  if (!succeeded) return succeeded.error();
  return *succeeded || sessions_.contains(chunk.name.session)
             ? *succeeded
             : has_gone_away(chunk.name.session, chunk.newest_ns);
}

// -- steps

Result<Tended> FileArchive::keep(bool clock_is_synchronised) {
  if (!index_) return fail(Code::closed, kClosed);
  auto fresh = refresh_index();
  if (!fresh) return fresh.error();
  look_at_disk();
  clock_watch_.look(clock_.utc_ns(), clock_.monotonic_ns(), clock_is_synchronised);
  Tended tended;
  // It writes, which may fail for want of the very room that the rest makes.
  const auto closed = close_idle();
  auto done = sweep_leftovers(tended);
  if (done) done = delete_old(tended);
  if (done) done = delete_for_room(tended);
  const auto shortened = shorten_deletions();
  for (const auto& may_wait : {closed, shortened}) {
    if (!may_wait && tended.remark.empty()) tended.remark = may_wait.error().text();
  }
  if (!done) return Error(done.error()).in("keeping house");
  tended.has_more |= is_enough(tended);
  return tended;
}

Result<void> FileArchive::close_idle() {
  const std::uint64_t now_ns = clock_.monotonic_ns();
  for (auto& [id, session] : sessions_) {
    auto [at, is_new] = idle_.try_emplace(id, Idle{session->last_sequence(), now_ns});
    Idle& idle = at->second;
    if (idle.last_sequence != session->last_sequence()) {
      idle = {session->last_sequence(), now_ns};
    }
    if (session->torn || session->any_run_on() || now_ns - idle.since_ns < kIdleNs) continue;
    auto rotated = session->rotate();
    if (!rotated) return rotated.error();
    (void)put({session.get()});
    idle.since_ns = now_ns;
  }
  // Of producers that went away with a run on, and did not come back.
  auto open = index_->oldest_chunks(false, {}, kChunksAtOnce);
  if (!open) return open.error();
  for (const auto& chunk : *open) {
    if (!has_gone_away(chunk.name.session, chunk.newest_ns)) continue;
    auto sealed = seal_as_it_is(shelf_, chunk.name);
    // Renamed before, and only the index does not know.
    if (!sealed && shelf_.files.open(shelf_.path_of(chunk.name, true), FileSystem::Mode::read))
      sealed = {};
    if (sealed) sealed = index_->mark_sealed(chunk.name);
    if (!sealed) return sealed.error();
  }
  return {};
}

Result<void> FileArchive::delete_old(Tended& tended) {
  const std::uint64_t age_ns = options_.rules.max_age_ns;
  if (age_ns == 0 || is_enough(tended)) return {};
  if (!clock_watch_.is_right()) {
    tended.remark =
        clock_watch_.has_jumped()
            ? "the clock moved by more than an hour: nothing is deleted for its age until it is "
              "back, or fieldlined is reloaded (systemctl reload fieldlined)"
            : "nothing keeps this host's clock right (adjtimex): nothing is deleted for its age "
              "until chrony, ntpd or systemd-timesyncd does";
    return {};
  }
  const std::uint64_t now_ns = clock_.utc_ns();
  auto old =
      index_->older_than(now_ns - std::min(now_ns, age_ns), kRunsAtOnce, {}, deleted(), aged_);
  if (!old) return old.error();
  std::vector<RunId> runs;
  for (const auto& run : *old) {
    auto standing = index_->standing_of(run);
    if (!standing) return standing.error();
    if (!is_open(*standing) && !source_->read.contains(run)) runs.push_back(run);
  }
  // So many of which none may go do not hide those behind them.
  const bool looks_on = runs.empty() && old->size() == kRunsAtOnce;
  aged_ = looks_on ? std::optional(old->back()) : std::nullopt;
  tended.has_more |= looks_on;
  return delete_runs(runs, Deletion::Reason::age, {}, tended);
}

// The oldest chunks whose runs may all go, until there is room enough. Where nothing may go the
// next step looks further on, and behind the newest begins anew.
Result<void> FileArchive::delete_for_room(Tended& tended) {
  const Rules& rules = options_.rules;
  auto held = rules.max_bytes != 0 ? index_->total_bytes() : Result<std::uint64_t>(0);
  if (!held) return held.error();
  Space space{disk_.total, disk_.free, false};
  Excess more = excess(rules, *held, space);
  if (more.bytes == 0 || disk_.total == 0) {
    looked_at_ = {};
    return {};
  }
  std::uint64_t freed = 0;
  for (std::size_t i = 0; i < kLooksAtOnce && freed < more.bytes && !is_enough(tended); ++i) {
    auto oldest = index_->oldest_chunks(true, looked_at_, 1);
    if (!oldest) return oldest.error();
    if (oldest->empty()) {
      looked_at_ = {};
      if (freed == 0) tended.remark = kNothingMayGo;
      return {};
    }
    const std::uint64_t before = tended.bytes;
    auto done = delete_runs_of(oldest->front(), more.reason, tended);
    if (!done) return done.error();
    if (tended.bytes == before) looked_at_ = oldest->front();
    freed += tended.bytes - before;
  }
  return {};
}

Result<void> FileArchive::delete_runs_of(const ChunkRow& chunk, Deletion::Reason reason,
                                         Tended& tended) {
  auto removable = is_removable(chunk);
  if (!removable) return removable.error();
  if (!*removable) return {};
  auto all = index_->runs_of(chunk.name);
  if (!all) return all.error();
  std::vector<RunId> runs;
  for (const auto& run : *all) {
    if (deletions_->has(run)) continue;
    auto standing = index_->standing_of(run);
    if (!standing) return standing.error();
    if (is_open(*standing) || source_->read.contains(run)) return {};
    runs.push_back(run);
  }
  if (runs.empty()) return remove(chunk, tended);
  return delete_runs(runs, reason, {}, tended);
}

Result<void> FileArchive::delete_runs(const std::vector<RunId>& runs, Deletion::Reason reason,
                                      const std::string& by, Tended& tended) {
  if (runs.empty()) return {};
  std::vector<Deletion> deletions;
  for (const auto& run : runs) {
    auto standing = index_->standing_of(run);
    if (!standing) return standing.error();
    Deletion deletion{run, reason, by, {}, 0, 0, 0, clock_.utc_ns()};
    deletion.principals.assign(standing->principals.begin(), standing->principals.end());
    deletion.started_ns = standing->summary.started_ns;
    deletion.ended_ns = standing->summary.ended_ns;
    deletion.records = standing->summary.records;
    deletions.push_back(std::move(deletion));
  }
  auto noted = deletions_->add(deletions);
  if (!noted) return noted.error();
  counters_.runs_deleted += deletions.size();
  leftovers_.insert(runs.begin(), runs.end());
  tended.deleted.insert(tended.deleted.end(), deletions.begin(), deletions.end());
  return sweep(runs, tended);
}

// Removes the chunks that hold nothing but deleted runs.
Result<void> FileArchive::sweep(const std::vector<RunId>& runs, Tended& tended) {
  for (const auto& run : runs) {
    auto parts = index_->parts_of(run, {});
    if (!parts) return parts.error();
    std::size_t left = parts->size();
    for (const auto& part : *parts) {
      const ChunkRow chunk{part.name,          part.sealed,          part.bytes,
                           part.last_sequence, part.chunk_newest_ns, {}};
      auto removable = is_removable(chunk);
      if (!removable) return removable.error();
      if (!*removable) continue;
      auto others = index_->runs_of(part.name);
      if (!others) return others.error();
      if (!std::all_of(others->begin(), others->end(), deleted())) continue;
      auto removed = remove(chunk, tended);
      if (!removed) return removed.error();
      --left;
    }
    if (left == 0) leftovers_.erase(run);
  }
  return {};
}

Result<void> FileArchive::sweep_leftovers(Tended& tended) {
  std::vector<RunId> some;
  for (auto at = leftovers_.upper_bound(swept_);
       at != leftovers_.end() && some.size() < kLeftoversAtOnce; ++at) {
    some.push_back(*at);
  }
  swept_ = some.size() < kLeftoversAtOnce ? RunId{} : some.back();
  return sweep(some, tended);
}

// The file first: a row without a file is forgotten at the next start, a file without a row would
// be put into the index again. Answers that have it open read on.
Result<void> FileArchive::remove(const ChunkRow& chunk, Tended& tended) {
  auto removed = shelf_.files.remove(shelf_.path_of(chunk.name, true));
  // Somebody may have made room by hand: then it was not we who did.
  if (!removed && removed.error().code != Code::not_found) return removed.error();
  if (removed) {
    counters_.chunks_deleted++;
    counters_.bytes_deleted += chunk.bytes;
    tended.chunks++;
    tended.bytes += chunk.bytes;
  }
  if (!index_->forget(chunk.name)) counters_.index_errors++;
  return rebuild_ ? rebuild_->forget(chunk.name) : Result<void>();
}

// -- on request

Result<std::vector<RunId>> FileArchive::prunable(const PruneRequest& request) {
  std::vector<RunId> runs = request.runs;
  if (request.ended_before_ns) {
    auto old = index_->older_than(*request.ended_before_ns, kMostPruned,
                                  request.all ? Principal() : Principal(request.by), deleted());
    if (!old) return old.error();
    runs.insert(runs.end(), old->begin(), old->end());
  }
  std::sort(runs.begin(), runs.end());
  runs.erase(std::unique(runs.begin(), runs.end()), runs.end());
  std::erase_if(runs, deleted());
  if (runs.size() > kMostPruned) runs.resize(kMostPruned);
  return runs;
}

// So that their bytes go, too, where no other run of the chunk is on.
Result<void> FileArchive::close_chunks_of(const std::vector<RunId>& runs) {
  std::set<Session*> sessions;
  for (const auto& run : runs) {
    auto parts = index_->parts_of(run, {});
    if (!parts) return parts.error();
    for (const auto& part : *parts) {
      auto at = part.sealed ? sessions_.end() : sessions_.find(part.name.session);
      if (at != sessions_.end() && !at->second->torn && !at->second->any_run_on())
        sessions.insert(at->second.get());
    }
  }
  for (Session* session : sessions) {
    // On a full disk there may be no room for it: the runs go all the same, their bytes later.
    if (session->rotate()) (void)put({session});
  }
  return {};
}

Result<std::vector<Pruned>> FileArchive::prune_some(const PruneRequest& request) {
  if (!index_) return fail(Code::closed, kClosed);
  auto fresh = refresh_index();
  if (!fresh) return fresh.error();
  auto wanted = prunable(request);
  if (!wanted) return wanted.error();
  std::vector<Pruned> pruned;
  std::vector<RunId> runs;
  for (const auto& run : *wanted) {
    auto standing = index_->standing_of(run);
    if (!standing) return standing.error();
    const auto& names = standing->principals;
    // Whoever is trusted can sign a grant with the id of another's run: that gives no right to it.
    const bool is_his = request.all || (names.size() == 1 && names.contains(request.by));
    const auto fate = !is_his              ? Pruned::Fate::not_yours
                      : is_open(*standing) ? Pruned::Fate::open
                                           : Pruned::Fate::deleted;
    if (fate == Pruned::Fate::deleted) runs.push_back(run);
    // Of others' parts of a run he is told nothing.
    auto seen = index_->summary_of(run, request.all ? Principal() : Principal(request.by));
    if (!seen) return seen.error();
    pruned.push_back({std::move(*seen), fate});
  }
  std::sort(pruned.begin(), pruned.end(),
            [](const Pruned& a, const Pruned& b) { return a.run.started_ns > b.run.started_ns; });
  if (request.dry_run || runs.empty()) return pruned;
  auto closed = close_chunks_of(runs);
  if (!closed) return closed.error();
  Tended tended;
  auto deleted = delete_runs(runs, Deletion::Reason::prune, request.by, tended);
  if (!deleted) return deleted.error();
  return pruned;
}

}  // namespace fieldline::archive
