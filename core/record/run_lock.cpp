#include "core/record/run_lock.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "core/base/background_thread.h"
#include "core/base/check.h"
#include "core/base/host.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "core/checkpoint/files.h"

namespace moe {

namespace fs = std::filesystem;

static constexpr auto kRefreshed = std::chrono::seconds(15);
static constexpr double kFreshSeconds = 60;
// Two processes that find no lock may both write their record; the later record stays.
static constexpr auto kSettled = std::chrono::milliseconds(500);

// This process's record.
static std::string own_record() {
  char started[64] = "";
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  if (::gmtime_r(&now, &utc)) std::strftime(started, sizeof started, "%F %T UTC", &utc);
  std::string command = read_text("/proc/self/cmdline");
  while (!command.empty() && command.back() == '\0') command.pop_back();
  for (char& c : command) c = c == '\0' ? ' ' : c;
  return json_text_replacing(
             {{"host", host_name()}, {"process", ::getpid()}, {"started", started}, {"command", command}}, 1) +
         "\n";
}

static std::string read_descriptor(int descriptor) {
  std::string text(1 << 16, '\0');
  const ssize_t count = ::pread(descriptor, text.data(), text.size(), 0);
  text.resize(count > 0 ? static_cast<size_t>(count) : 0);
  return text;
}

// The owner that a record names.
static std::string owner_in(const std::string& record) {
  const Json json = parse_json_or_null(record);
  if (!json.is_object()) return "another process";
  try {
    return fmt::format("process {} on {} since {} ({})", json.at("process").get<int64_t>(),
                       json.at("host").get<std::string>(), json.at("started").get<std::string>(),
                       json.at("command").get<std::string>());
  } catch (const JsonError&) {
    return "another process";
  }
}

[[noreturn]] static void refuse(const std::string& folder, const std::string& record) {
  raise<CheckpointError>(
      "{} is in use by {}. Two processes must not write to one run: wait until it has ended, or choose another name",
      folder, owner_in(record));
}

void RunLock::create_folder() {
  std::error_code error;
  created_.clear();
  for (fs::path path = folder_; !path.empty() && !fs::exists(path, error); path = path.parent_path())
    created_.insert(created_.begin(), path.string());
  make_folder(folder_);
  folder_descriptor_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_descriptor_ < 0) raise<CheckpointError>("cannot open the folder {}: {}", folder_, std::strerror(errno));
}

// A process that was refused may remove the folder that it had created just after we found it, so it is made again.
int RunLock::open_file() {
  int descriptor = -1;
  for (int attempt = 0; attempt < 10 && descriptor < 0; ++attempt) {
    if (folder_descriptor_ < 0) create_folder();
    descriptor = ::open(file_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (descriptor >= 0 || errno != ENOENT) break;
    ::close(std::exchange(folder_descriptor_, -1));
  }
  if (descriptor < 0) raise<CheckpointError>("cannot open {}: {}", file_, std::strerror(errno));
  return descriptor;
}

// A file that its owner removed between our opening and locking it is no longer the lock, so it is opened again.
void RunLock::lock(LockFile lock_with) {
  for (;;) {
    descriptor_ = open_file();
    const int error = lock_with(descriptor_, false);
    if (error == EWOULDBLOCK) refuse(folder_, read_descriptor(descriptor_));
    if (error != 0) {
      log::warn("{} is on a file system without locks ({}): only a record tells other processes that it is in use",
                folder_, std::strerror(error));
      return lock_by_record();
    }
    if (leads_to(file_, descriptor_)) return;
    ::close(descriptor_);
    descriptor_ = -1;
  }
}

static void write_record(int descriptor, const std::string& path, const std::string& record) {
  if (::ftruncate(descriptor, 0) != 0 ||
      ::pwrite(descriptor, record.data(), record.size(), 0) != static_cast<ssize_t>(record.size())) {
    raise<CheckpointError>("cannot write {}: {}", path, std::strerror(errno));
  }
}

// Seconds since the file was written, by the clock of its file system, which is not this host's on a network disk.
static double age_of(int descriptor, const std::string& file) {
  const std::string probe = fmt::format("{}.{}.tmp", file, ::getpid());
  write_text_synced(probe, "");
  struct stat now {
  }, then{};
  const bool known = ::lstat(probe.c_str(), &now) == 0 && ::fstat(descriptor, &then) == 0;
  ::unlink(probe.c_str());
  if (!known) return 0;
  return static_cast<double>(now.st_mtim.tv_sec - then.st_mtim.tv_sec) +
         static_cast<double>(now.st_mtim.tv_nsec - then.st_mtim.tv_nsec) * 1e-9;
}

bool is_run_in_use(const std::string& folder) {
  const std::string file = folder + "/lock";
  const int descriptor = ::open(file.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return false;
  const int error = lock_file(descriptor, false);
  const bool is_used = error == EWOULDBLOCK || (error != 0 && age_of(descriptor, file) < kFreshSeconds);
  ::close(descriptor);
  return is_used;
}

void RunLock::lock_by_record() {
  const std::string record = read_descriptor(descriptor_), mine = own_record();
  if (!record.empty() && age_of(descriptor_, file_) < kFreshSeconds) refuse(folder_, record);
  write_record(descriptor_, file_, mine);
  std::this_thread::sleep_for(kSettled);
  if (const std::string now = read_descriptor(descriptor_); now != mine) refuse(folder_, now);
}

// Runs in a thread of its own, because a step or a checkpoint may take longer than a minute.
void RunLock::refresh() {
  std::unique_lock guard(mutex_);
  while (!ending_.wait_for(guard, kRefreshed, [&] { return ends_; })) ::futimens(descriptor_, nullptr);
}

RunLock::RunLock(const std::string& folder, LockFile lock_with)
    : folder_((fs::path(folder) / "").lexically_normal().parent_path().string()), file_(folder_ + "/lock") {
  try {
    lock(lock_with);
  } catch (...) {
    release();
    throw;
  }
  try {
    write_record(descriptor_, file_, own_record());
  } catch (const CheckpointError& error) {
    log::warn("{}; other processes cannot name the owner of this run", error.what());
  }
  refresher_ = background_thread([this] { refresh(); });
}

// Closes what is open and removes what was created, as far as it is empty.
void RunLock::release() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (folder_descriptor_ >= 0) ::close(folder_descriptor_);
  for (auto path = created_.rbegin(); path != created_.rend(); ++path) ::rmdir(path->c_str());
}

RunLock::~RunLock() {
  {
    const std::scoped_lock guard(mutex_);
    ends_ = true;
  }
  ending_.notify_all();
  refresher_.join();
  if (leads_to(file_, descriptor_)) ::unlink(file_.c_str());
  release();
}

void RunLock::require_folder() const {
  if (leads_to(folder_, folder_descriptor_)) return;
  raise<CheckpointError>("the run's folder {} is gone: it was removed, renamed or replaced while the run was using it",
                         folder_);
}

}  // namespace moe
