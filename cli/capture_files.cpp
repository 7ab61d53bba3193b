// SPDX-License-Identifier: Apache-2.0
#include "cli/capture_files.h"

#include <pcap/pcap.h>
#include <sys/stat.h>

#include <queue>

#include <nlohmann/json.hpp>

#include "analysis/packet.h"
#include "base/file.h"

namespace fieldline::cli {
namespace {

constexpr std::uint64_t kNanosPerSecond = 1'000'000'000;

class PcapngFile final : public CaptureFile {
 public:
  PcapngFile(std::string path, std::unique_ptr<File> file)
      : path_(std::move(path)), file_(std::move(file)), piece_(1 << 18) {}

  Result<std::optional<pcapng::Block>> next() override {
    for (;;) {
      auto block = reader_.next();
      if (!block) return std::move(block.error()).in(path_);
      if (*block) return std::move(*block);
      auto n = file_->read_at(at_, piece_);
      if (!n) return n.error();
      if (*n == 0) return std::optional<pcapng::Block>();
      at_ += *n;
      reader_.feed(ByteView(piece_).first(*n));
    }
  }

  std::string remark() const override {
    return reader_.pending() > 0
               ? path_ + ": the last block is cut; going on with the whole ones before it"
               : "";
  }

 private:
  std::string path_;
  std::unique_ptr<File> file_;
  Bytes piece_;
  std::uint64_t at_ = 0;
  pcapng::Reader reader_;
};

// libpcap's own numbers of link types differ from the file's in these.
std::uint16_t link_type_of(int dlt) {
  return dlt == DLT_RAW ? std::uint16_t{analysis::kLinkRaw} : static_cast<std::uint16_t>(dlt);
}

class PcapFile final : public CaptureFile {
 public:
  static Result<std::unique_ptr<CaptureFile>> open(const std::string& path) {
    char why[PCAP_ERRBUF_SIZE] = "";
    pcap_t* handle =
        ::pcap_open_offline_with_tstamp_precision(path.c_str(), PCAP_TSTAMP_PRECISION_NANO, why);
    if (!handle) {
      return fail(
          Code::invalid,
          path + " is no capture (pcapng, or pcap as tcpdump -w writes it): " + std::string(why));
    }
    return std::unique_ptr<CaptureFile>(new PcapFile(path, handle));
  }

  Result<std::optional<pcapng::Block>> next() override {
    if (!begun_) {
      begun_ = true;
      pcapng::Interface interface;
      interface.link_type = link_type_of(::pcap_datalink(handle_.get()));
      return std::optional<pcapng::Block>(interface);
    }
    pcap_pkthdr* head = nullptr;
    const u_char* bytes = nullptr;
    const int got = ::pcap_next_ex(handle_.get(), &head, &bytes);
    if (got == PCAP_ERROR_BREAK) return std::optional<pcapng::Block>();
    if (got != 1) {  // a torn or damaged tail: what stands before it counts
      remark_ =
          path_ + ": " + ::pcap_geterr(handle_.get()) + "; going on with what stands before it";
      return std::optional<pcapng::Block>();
    }
    pcapng::Packet packet;
    packet.timestamp_ns =
        static_cast<std::uint64_t>(head->ts.tv_sec) * kNanosPerSecond +
        static_cast<std::uint64_t>(head->ts.tv_usec);  // nanoseconds, as asked for
    packet.wire_len = head->len;
    packet.data = ByteView(bytes, head->caplen);
    return std::optional<pcapng::Block>(packet);
  }

  std::string remark() const override { return remark_; }

 private:
  struct Close {
    void operator()(pcap_t* handle) const { ::pcap_close(handle); }
  };

  PcapFile(std::string path, pcap_t* handle) : path_(std::move(path)), handle_(handle) {}

  std::string path_, remark_;
  std::unique_ptr<pcap_t, Close> handle_;
  bool begun_ = false;
};

// A file whose next block stands in front.
struct Front {
  std::uint64_t time;
  std::size_t file;

  bool operator<(const Front& other) const {
    return time != other.time ? time > other.time : file > other.file;
  }
};

}  // namespace

Result<std::unique_ptr<CaptureFile>> open_capture(const std::string& path) {
  struct stat st {};
  if (::stat(path.c_str(), &st) == 0 && !S_ISREG(st.st_mode)) {
    return fail(Code::unsupported,
                path + " is no regular file: captures are read twice; save it into one first");
  }
  auto file = system_files().open(path, FileSystem::Mode::read);
  if (!file) return file.error();
  std::array<std::uint8_t, 4> magic{};
  auto n = (*file)->read_at(0, magic);
  if (!n) return n.error();
  if (*n >= 2 && magic[0] == 0x1f && magic[1] == 0x8b)
    return fail(Code::unsupported, path + " is compressed: gunzip it first");
  const bool is_pcapng =
      *n == 4 && magic == std::array<std::uint8_t, 4>{0x0a, 0x0d, 0x0d, 0x0a};  // FL_PCAPNG_SHB
  if (!is_pcapng) return PcapFile::open(path);
  return std::unique_ptr<CaptureFile>(new PcapngFile(path, std::move(*file)));
}

Result<bool> is_of_run(const std::string& path) {
  auto file = open_capture(path);
  if (!file) return file.error();
  for (;;) {
    auto block = (*file)->next();
    if (!block) return block.error();
    if (!*block) return false;
    if (std::holds_alternative<pcapng::Report>(**block)) return true;
    if (std::holds_alternative<pcapng::Packet>(**block)) return false;
    const auto* interface = std::get_if<pcapng::Interface>(&**block);
    if (!interface) continue;
    const auto comment = nlohmann::json::parse(interface->comment, nullptr, false);
    return comment.is_object() && comment.contains("run") && comment.contains("sensor");
  }
}

Result<std::vector<std::string>> merge_captures(const std::vector<std::string>& paths,
                                                const TakeBlock& take) {
  std::vector<std::string> remarks;
  std::vector<std::unique_ptr<CaptureFile>> files;
  std::vector<std::optional<pcapng::Block>> fronts(paths.size());
  std::priority_queue<Front> queue;
  const auto pull = [&](std::size_t file) -> Result<void> {
    auto block = files[file]->next();
    if (!block) return block.error();
    fronts[file] = std::move(*block);
    if (!fronts[file]) {
      if (const std::string remark = files[file]->remark(); !remark.empty())
        remarks.push_back(remark);
      return {};
    }
    const auto* packet = std::get_if<pcapng::Packet>(&*fronts[file]);
    queue.push({packet ? packet->timestamp_ns : 0, file});
    return {};
  };
  for (std::size_t file = 0; file < paths.size(); ++file) {
    auto opened = open_capture(paths[file]);
    if (!opened) return opened.error();
    files.push_back(std::move(*opened));
    if (auto pulled = pull(file); !pulled) return pulled.error();
  }
  while (!queue.empty()) {
    const std::size_t file = queue.top().file;
    queue.pop();
    if (auto taken = take(file, *fronts[file]); !taken) return taken.error();
    if (auto pulled = pull(file); !pulled) return pulled.error();
  }
  return remarks;
}

}  // namespace fieldline::cli
