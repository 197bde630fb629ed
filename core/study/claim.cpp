#include "core/study/claim.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/background_thread.h"
#include "core/base/check.h"
#include "core/base/file_lock.h"
#include "core/base/host.h"
#include "core/base/json_text.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"
#include "core/machine/system_files.h"

namespace moe {
namespace {

namespace fs = std::filesystem;

// A claim that was found.
struct Found {
  int64_t number = 0;
  std::string path, token, owner;
  bool is_live = true;
};

std::string path_of(const std::string& folder, const std::string& name, int64_t number) {
  return fmt::format("{}/{}.claim.{}", folder, name, number);
}

// The numbers of the claims on `name` that exist, in no order.
std::vector<int64_t> numbers_of(const std::string& folder, const std::string& name) {
  const std::string prefix = name + ".claim.";
  std::vector<int64_t> numbers;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    const std::string file = entry->path().filename().string();
    if (!file.starts_with(prefix)) continue;
    const std::string digits = file.substr(prefix.size());
    if (!digits.empty() && digits.size() <= 18 && digits.find_first_not_of("0123456789") == std::string::npos)
      numbers.push_back(std::stoll(digits));
  }
  if (error) raise<CheckpointError>("cannot read the folder {}: {}", folder, error.message());
  return numbers;
}

// The claim that counts.
std::optional<int64_t> newest(const std::string& folder, const std::string& name) {
  const std::vector<int64_t> numbers = numbers_of(folder, name);
  if (numbers.empty()) return std::nullopt;
  return *std::max_element(numbers.begin(), numbers.end());
}

std::string token_in(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) return "";
  std::string text(1 << 16, '\0');
  const ssize_t count = ::pread(descriptor, text.data(), text.size(), 0);
  ::close(descriptor);
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return text;
}

// Seconds since the file was written by the clock of its file system: the clocks of the machines may differ.
std::optional<double> age_of(const std::string& folder, int descriptor) {
  const std::string probe = fmt::format("{}/.{}.tmp", folder, unique_token());
  write_text_synced(probe, "");
  struct stat now {
  }, then{};
  const bool known = ::lstat(probe.c_str(), &now) == 0 && ::fstat(descriptor, &then) == 0;
  ::unlink(probe.c_str());
  if (!known) return std::nullopt;
  return static_cast<double>(now.st_mtim.tv_sec - then.st_mtim.tv_sec) +
         static_cast<double>(now.st_mtim.tv_nsec - then.st_mtim.tv_nsec) * 1e-9;
}

// Reads a claim; nothing if it has gone.
std::optional<Found> read_claim(const std::string& folder, const std::string& name, int64_t number,
                                const ClaimSettings& settings) {
  Found found{.number = number, .path = path_of(folder, name, number), .token = "", .owner = "another process"};
  found.token = token_in(found.path);
  const Json record = parse_json_or_null(found.token);
  const int descriptor = ::open(found.path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) {
    if (errno == ENOENT) return std::nullopt;
    raise<CheckpointError>("cannot open {}: {}", found.path, std::strerror(errno));
  }
  std::string machine;
  try {
    machine = record.at("machine").get<std::string>();
    found.owner = fmt::format("process {} on {} since {}", record.at("process").get<int64_t>(),
                              record.at("host").get<std::string>(), record.at("started").get<std::string>());
  } catch (const JsonError&) {
    // Damaged: its time decides.
  }
  // Locks of other machines may not be visible here.
  const bool has_ended = !machine.empty() && machine == settings.machine && lock_file(descriptor, false) == 0;
  found.is_live = !has_ended && age_of(folder, descriptor).value_or(0) < settings.expires;
  ::close(descriptor);
  return found;
}

std::string own_record(const std::string& machine) {
  char started[64] = "";
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  if (::gmtime_r(&now, &utc)) std::strftime(started, sizeof started, "%F %T UTC", &utc);
  return json_text_replacing({{"host", host_name()},
                              {"process", ::getpid()},
                              {"started", started},
                              {"machine", machine},
                              {"token", unique_token()}},
                             1) +
         "\n";
}

}  // namespace

ClaimSettings ClaimSettings::of_this_machine() {
  ClaimSettings settings;
  settings.machine = std::string(trim(SystemFiles().read("/proc/sys/kernel/random/boot_id").value_or("")));
  if (const char* times = std::getenv("MOE_STUDY_CLAIM_SECONDS")) {
    const std::vector<std::string> parts = split(times, ',');
    settings.renewed = std::atof(parts[0].c_str());
    settings.expires = parts.size() == 2 ? std::atof(parts[1].c_str()) : 0;
    if (!(settings.renewed > 0) || !(settings.expires > settings.renewed))
      raise<UsageError>("MOE_STUDY_CLAIM_SECONDS={}: expected RENEWED,EXPIRES with 0 < RENEWED < EXPIRES", times);
  }
  return settings;
}

std::unique_ptr<Claim> Claim::take(const std::string& folder, const std::string& name, const ClaimSettings& settings) {
  std::optional<Found> old;
  if (const auto number = newest(folder, name)) {
    old = read_claim(folder, name, *number, settings);
    if (!old || old->is_live) return nullptr;  // one that has just gone is free at the next try
  }
  const int64_t number = old ? old->number + 1 : 0;
  const std::string token = own_record(settings.machine), path = path_of(folder, name, number);
  const std::string made = fmt::format("{}/.{}.tmp", folder, unique_token());
  write_text_synced(made, token);
  const int descriptor = ::open(made.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (descriptor < 0) raise<CheckpointError>("cannot open {}: {}", made, std::strerror(errno));
  lock_file(descriptor, false);  // where there are no locks, its time decides
  ::futimens(descriptor, nullptr);
  // Over NFS the answer to link() may be lost, but not the link.
  const int linked = ::link(made.c_str(), path.c_str());
  const int reason = errno;
  struct stat state {};
  const bool is_ours = linked == 0 || (::fstat(descriptor, &state) == 0 && state.st_nlink == 2);
  ::unlink(made.c_str());
  if (!is_ours) {
    ::close(descriptor);
    if (reason != EEXIST) raise<CheckpointError>("cannot make {}: {}", path, std::strerror(reason));
    return nullptr;
  }
  std::unique_ptr<Claim> claim(new Claim(folder, name, number, descriptor, settings.renewed));
  // Another process may have taken over the same claim, done its work and removed both files before ours was made. A
  // third may then have begun a new series.
  if ((old && token_in(old->path) != old->token) || !claim->is_held()) return nullptr;
  claim->replaces_others_ = old.has_value();
  return claim;
}

Claim::Claim(std::string folder, std::string name, int64_t number, int descriptor, double renewed)
    : folder_(std::move(folder)), name_(std::move(name)), number_(number), descriptor_(descriptor) {
  renewer_ = background_thread([this, renewed] { renew(renewed); });
}

void Claim::renew(double seconds) {
  std::unique_lock guard(mutex_);
  while (!ending_.wait_for(guard, std::chrono::duration<double>(seconds), [&] { return ends_; }))
    ::futimens(descriptor_, nullptr);
}

bool Claim::is_held() const {
  return newest(folder_, name_) == number_ && leads_to(path_of(folder_, name_, number_), descriptor_);
}

// The claims that were taken over go first: as long as one of them is there, the largest number is ours.
Claim::~Claim() {
  {
    const std::scoped_lock guard(mutex_);
    ends_ = true;
  }
  ending_.notify_all();
  renewer_.join();
  const std::string path = path_of(folder_, name_, number_);
  if (leads_to(path, descriptor_)) {
    try {
      for (const int64_t number : numbers_of(folder_, name_)) {
        if (replaces_others_ && number < number_) ::unlink(path_of(folder_, name_, number).c_str());
      }
    } catch (const CheckpointError&) {
      // They have expired and stay.
    }
    ::unlink(path.c_str());
  }
  ::close(descriptor_);
}

std::optional<std::string> claim_owner(const std::string& folder, const std::string& name,
                                       const ClaimSettings& settings) {
  const auto number = newest(folder, name);
  if (!number) return std::nullopt;
  const auto found = read_claim(folder, name, *number, settings);
  if (!found || !found->is_live) return std::nullopt;
  return found->owner;
}

}  // namespace moe
