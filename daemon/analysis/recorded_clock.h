// SPDX-License-Identifier: Apache-2.0
// What a sensor or host said of its own clock: when a run began there, and each second since.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace fieldline::analysis {

class RecordedClock {
 public:
  struct Said {
    std::uint64_t error_ns = 0;  // the most that it may be wrong by
    bool synchronized = true;    // false: its host calls that a guess

    void add(const Said& other);  // the worse of both
  };
  struct Step {
    std::uint64_t from_ns = 0, to_ns = 0;
    std::int64_t by_ns = 0;
    bool of_tai_offset = false;
  };

  // A clock_quality document (docs/format/json.md); false: not of its form.
  bool take(const nlohmann::json& document);
  // "clock" of an activation's "system".
  bool take_start(const nlohmann::json& clock);
  // The worst that was said of that time, or of the whole run if nothing was said then.
  std::optional<Said> worst(std::uint64_t from_ns, std::uint64_t to_ns) const;
  std::optional<Said> worst() const;
  bool has_course() const { return !course_.empty(); }  // more than the run's begin
  std::vector<Step> steps() const;                      // by time; the first 64

 private:
  std::map<std::uint64_t, Said> course_;      // by the begin of so long a stretch:
  std::uint64_t stretch_ns_ = 1'000'000'000;  // the worst of it stands for all
  std::map<std::uint64_t, Step> steps_;       // by to_ns
  std::optional<Said> start_;
};

}  // namespace fieldline::analysis
