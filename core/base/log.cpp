#include "core/base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

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

void add_file(const std::string& path) {
  try {
    auto file = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
    file->set_pattern("[%Y-%m-%d %T] %v");
    spdlog::default_logger()->sinks().push_back(file);
  } catch (const spdlog::spdlog_ex& error) {
    raise<CheckpointError>("cannot write the log file {}: {}", path, error.what());
  }
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
