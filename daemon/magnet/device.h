// SPDX-License-Identifier: Apache-2.0
// The module's character devices, behind an interface that tests fill with rings in memory.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "proto/magnet.h"

namespace fieldline::magnet {

// One /dev/magnetN, open and mapped. Ring checks what it says.
class Device {
 public:
  virtual ~Device() = default;
  virtual Result<magnet_info> info() = 0;  // with a fresh clock pair
  // The mapping of info().bytes, page-aligned; it stays where it is as long as the device.
  virtual Result<std::span<std::uint8_t>> map(std::size_t bytes) = 0;
  virtual int descriptor() const = 0;  // readable while a record is unread
};

class Devices {
 public:
  virtual ~Devices() = default;
  virtual Result<std::vector<unsigned>> cpus() = 0;  // rising; not_found without the module
  virtual Result<std::unique_ptr<Device>> open(unsigned cpu) = 0;
};

// magnet0, magnet1 ... of a folder (/dev). Errors name what to do: not_found (no module), denied
// (rights), exhausted (somebody else has it open).
class SystemDevices final : public Devices {
 public:
  explicit SystemDevices(std::string folder = "/dev") : folder_(std::move(folder)) {}
  Result<std::vector<unsigned>> cpus() override;
  Result<std::unique_ptr<Device>> open(unsigned cpu) override;

 private:
  std::string folder_;
};

}  // namespace fieldline::magnet
