// SPDX-License-Identifier: Apache-2.0
#include "magnet/device.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/fd.h"
#include "base/file.h"
#include "magnet/holder.h"

namespace fieldline::magnet {

namespace {

class SystemDevice final : public Device {
 public:
  SystemDevice(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  SystemDevice(const SystemDevice&) = delete;
  SystemDevice& operator=(const SystemDevice&) = delete;
  ~SystemDevice() override {
    if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
  }

  Result<magnet_info> info() override {
    magnet_info info{};
    if (::ioctl(fd_.get(), MAGNET_IOC_INFO, &info) == 0) return info;
    if (errno == ENOTTY || errno == EINVAL) {
      return fail(Code::unsupported,
                  path_ +
                      " is not a device of the module magnet; `modinfo magnet` and this "
                      "program's --version should show the same version");
    }
    return fail_errno("asking " + path_ + " for its geometry");
  }

  Result<std::span<std::uint8_t>> map(std::size_t bytes) override {
    void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
    if (at == MAP_FAILED) return fail_errno("mapping " + path_);
    memory_ = {static_cast<std::uint8_t*>(at), bytes};
    return memory_;
  }

  int descriptor() const override { return fd_.get(); }

 private:
  Fd fd_;
  std::string path_;
  std::span<std::uint8_t> memory_;
};

Error cannot_open(const std::string& path, int error) {
  if (error == EBUSY) {
    const std::string holder = holder_of(path);
    return fail(Code::exhausted,
                path + " has one reader at a time, and " +
                    (holder.empty() ? "another process (root can see which)" : holder) +
                    " has it open: end that first");
  }
  if (error == EACCES || error == EPERM) {
    return fail(Code::denied, path +
                                  ": not allowed; be root or a member of the group 'magnet' "
                                  "(usermod -aG magnet USER, then log in again)");
  }
  if (error == ENOENT || error == ENXIO || error == ENODEV) {
    return fail(Code::not_found, path + " is not there: load the module (modprobe magnet)");
  }
  errno = error;
  return fail_errno("opening " + path);
}

}  // namespace

Result<std::vector<unsigned>> SystemDevices::cpus() {
  auto names = system_files().list(folder_);
  if (!names) return names.error();
  std::vector<unsigned> cpus;
  for (const auto& name : *names) {
    if (!name.starts_with("magnet")) continue;
    unsigned cpu = 0;
    const char* digits = name.data() + 6;
    auto [end, error] = std::from_chars(digits, name.data() + name.size(), cpu);
    if (error == std::errc() && end == name.data() + name.size() && std::to_string(cpu) == digits)
      cpus.push_back(cpu);
  }
  if (cpus.empty()) {
    return fail(Code::not_found, "no " + folder_ +
                                     "/magnet0: load the module (modprobe magnet; insmod "
                                     "magnet.ko from a build of module/)");
  }
  std::sort(cpus.begin(), cpus.end());
  return cpus;
}

Result<std::unique_ptr<Device>> SystemDevices::open(unsigned cpu) {
  const std::string path = folder_ + "/magnet" + std::to_string(cpu);
  Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return cannot_open(path, errno);
  return std::unique_ptr<Device>(std::make_unique<SystemDevice>(std::move(fd), path));
}

}  // namespace fieldline::magnet
