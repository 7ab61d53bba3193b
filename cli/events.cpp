// SPDX-License-Identifier: Apache-2.0
#include "cli/events.h"

#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/text.h"
#include "cli/archive_link.h"
#include "cli/exit_code.h"
#include "cli/fields.h"
#include "cli/text.h"

namespace fieldline::cli {

using nlohmann::json;

namespace {

constexpr std::size_t kPiece = 64 << 10;

Result<void> print(const EventList& list) {
  std::string text = list.head();
  Result<void> written;
  list.print([&](const std::string& line) {
    text += line;
    if (text.size() < kPiece) return true;
    written = write_all(STDOUT_FILENO, text);
    text.clear();
    return written.has_value();
  });
  return written && !text.empty() ? write_all(STDOUT_FILENO, text) : written;
}

}  // namespace

int events(const EventsOptions& options, const UserSettings& settings) {
  auto list = EventList::create(options);
  if (!list) return complain(list.error(), kUsage);
  pcapng::Reader reader(pcapng::Reader::OnDamage::resynchronise);
  json request = {{"op", "query"}, {"run", options.run}, {"reports", true}, {"packets", false}};
  auto result = ask_archive(settings, request, [&](ByteView piece) {
    reader.feed(piece);
    for (auto block = reader.next(); block && *block; block = reader.next()) {
      if (const auto* report = std::get_if<pcapng::Report>(&**block)) list->take(*report);
    }
    return true;
  });
  if (!result) return complain(result.error());
  list->settle();

  auto written = print(*list);
  if (!written) return written.error().code == Code::closed ? kOk : complain(written.error());
  for (const auto& line : list->missing()) note(line);
  if (list->unreadable() > 0) {
    note(grouped(list->unreadable()) + " batches of event records are of a later version; update");
  }
  if (list->left_out() > 0) {
    note(grouped(list->left_out()) +
         " records more than fit into memory are left out; ask for less: "
         "--since, --until, --sockid or --event");
  }
  const std::uint64_t skipped = number_at(*result, "skipped_bytes") + reader.skipped_bytes();
  if (skipped > 0) note(grouped(skipped) + " damaged bytes were stepped over");
  if (skipped > 0 || list->unreadable() > 0 || list->left_out() > 0) return kPartial;
  if (list->size() > 0) return kOk;
  note(list->is_empty() ? "no event records of this run here; a host with [host] in its "
                          "fieldlined.toml records them"
                        : "no event record of this run is what you ask for");
  return kNoAnswer;
}

}  // namespace fieldline::cli
