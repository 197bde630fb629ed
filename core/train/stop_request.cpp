#include "core/train/stop_request.h"

#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <ctime>
#include <fstream>
#include <span>
#include <sstream>
#include <string>

namespace moe {

// Field 22 of /proc/self/stat: the start of the process in ticks since the machine's start. The second field, the
// program's name in parentheses, may contain blanks.
double process_seconds() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  std::getline(file, line);
  std::istringstream fields(line.substr(std::min(line.rfind(')') + 1, line.size())));
  std::string word;
  for (int field = 3; field <= 22; ++field) fields >> word;
  timespec now{};
  if (!fields || ::clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
  const double start = std::stod(word) / static_cast<double>(::sysconf(_SC_CLK_TCK));
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9 - start;
}

StopRequest::StopRequest(const Duration& limit, bool has_clock)
    : limit_(limit.is_wall_time() ? limit.amount : 0), has_clock_(has_clock) {}

void StopRequest::took_update(double seconds) {
  update_ = std::max(update_, seconds);
}

void StopRequest::expect_checkpoint(double seconds) {
  if (!has_saved_) checkpoint_ = seconds;
}

void StopRequest::took_checkpoint(double seconds) {
  checkpoint_ = has_saved_ ? std::max(checkpoint_, seconds) : seconds;
  has_saved_ = true;
}

int StopRequest::wanted(double next_seconds) const {
  if (const int signal = signals_.received()) return signal;
  if (!has_clock_ || limit_ == 0) return 0;
  // A tenth more than so far and a second, for what varies and for the end of the process.
  return process_seconds() + 1.1 * (next_seconds + checkpoint_) + 1 >= limit_ ? SIGTERM : 0;
}

// This update is made and saved even when it is late already, so that every process makes progress.
int StopRequest::before_update() const {
  return wanted(2 * update_);
}

int StopRequest::before_part(double next_seconds, Communicator& ranks) const {
  const int signal = wanted(next_seconds);
  double order = signal == SIGINT ? 2 : signal == SIGTERM ? 1 : 0;
  ranks.all_reduce_max(as_tensor(std::span(&order, 1)));
  return order == 2 ? SIGINT : order == 1 ? SIGTERM : 0;
}

}  // namespace moe
