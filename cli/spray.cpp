// SPDX-License-Identifier: Apache-2.0
#include "cli/spray.h"

#include "cli/fields.h"
#include "cli/text.h"

namespace fieldline::cli {

using nlohmann::json;

const char* SprayRow::saw() const {
  if (triggers > 0) return packets > 0 ? "both" : "trigger";
  return packets > 0 ? "data" : "neither";
}

void SprayBoard::take(const WatchEvent& event) {
  const json& document = event.document;
  const std::string sensor = printable(string_at(document, "sensor"));
  if (sensor.empty() || string_at(document, "role") == "host") return;  // no vantage point
  if (event.kind == WatchEvent::Kind::configuration) {
    for (const json& port : member(document, "ports"))
      names_[{sensor, number_at(port, "port")}] =
          sensor + ":" + printable(string_at(port, "interface"));
  }
  if (event.kind == WatchEvent::Kind::activation && string_at(document, "event") == "started")
    started_.insert(sensor);
  if (event.kind != WatchEvent::Kind::counts) return;
  for (const json& one : member(document, "triggers"))
    counts_[{event.run, {sensor, number_at(one, "port")}}].triggers = number_at(one, "count");
  for (const json& one : member(document, "points")) {
    Counts& counts = counts_[{event.run, {sensor, number_at(one, "port")}}];
    counts.packets[string_at(one, "direction")] = number_at(one, "recorded");
  }
}

std::vector<SprayRow> SprayBoard::rows() const {
  std::map<Point, SprayRow> found;
  for (const auto& [point, name] : names_) {
    if (started_.contains(point.first)) found[point].vantage = name;
  }
  for (const auto& [key, counts] : counts_) {
    SprayRow& row = found[key.second];
    if (row.vantage.empty())
      row.vantage = key.second.first + ":port" + std::to_string(key.second.second);
    row.triggers += counts.triggers;
    for (const auto& [direction, packets] : counts.packets) row.packets += packets;
  }
  std::vector<SprayRow> rows;
  for (auto& [point, row] : found) rows.push_back(std::move(row));
  return rows;
}

std::string render_spray(const std::vector<SprayRow>& rows) {
  std::vector<std::vector<std::string>> cells;
  for (const SprayRow& row : rows)
    cells.push_back({row.vantage, grouped(row.triggers), grouped(row.packets), row.saw()});
  return format_table({{"VANTAGE"}, {"TRIGGERS", Align::right}, {"DATA", Align::right}, {"SAW"}},
                      cells);
}

json to_json(const std::vector<SprayRow>& rows) {
  json list = json::array();
  for (const SprayRow& row : rows) {
    list.push_back({{"vantage", row.vantage},
                    {"triggers", row.triggers},
                    {"data", row.packets},
                    {"saw", row.saw()}});
  }
  return list;
}

}  // namespace fieldline::cli
