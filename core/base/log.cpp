#include "core/base/log.h"

#include <fcntl.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>

#include "core/base/check.h"
#include "core/base/text.h"

namespace moe::log {

void initialise(int rank, int num_ranks) {
  auto console = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  auto logger = std::make_shared<spdlog::logger>("moe", console);
  logger->set_pattern(num_ranks > 1 && rank > 0 ? fmt::format("[rank {}] %v", rank) : "%v");
  logger->set_level(rank == 0 ? spdlog::level::info : spdlog::level::warn);
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(logger);
}

namespace {

// Appends to a file that is no link. spdlog's own sink opens it by name and follows links.
class FileSink : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit FileSink(std::FILE* file) : file_(file) {}
  ~FileSink() override { std::fclose(file_); }

 private:
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    std::fwrite(line.data(), 1, line.size(), file_);
  }
  void flush_() override { std::fflush(file_); }

  std::FILE* file_;
};

}  // namespace

void add_file(const std::string& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
  std::FILE* file = descriptor < 0 ? nullptr : ::fdopen(descriptor, "a");
  if (!file) raise<CheckpointError>("cannot write the log file {}: {}", path, std::strerror(errno));
  auto sink = std::make_shared<FileSink>(file);
  sink->set_pattern("[%Y-%m-%d %T] %v");
  spdlog::default_logger()->sinks().push_back(sink);
}

void quiet_console() {
  spdlog::default_logger()->sinks().front()->set_level(spdlog::level::warn);
}

void write(Level level, fmt::string_view format, fmt::format_args args) {
  static constexpr spdlog::level::level_enum kLevels[] = {spdlog::level::debug, spdlog::level::info,
                                                          spdlog::level::warn, spdlog::level::err};
  spdlog::logger& logger = *spdlog::default_logger_raw();
  const spdlog::level::level_enum chosen = kLevels[static_cast<int>(level)];
  if (logger.should_log(chosen)) logger.log(chosen, shown(fmt::vformat(format, args)));
}

}  // namespace moe::log
