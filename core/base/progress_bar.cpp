#include "core/base/progress_bar.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "core/base/output.h"

namespace moe {

ProgressBar::ProgressBar(bool shown) : active_(shown && is_capable_terminal(STDERR_FILENO)) {}
ProgressBar::~ProgressBar() {
  clear();
}

void ProgressBar::clear() {
  if (visible_) std::fputs("\r\033[K", stderr);
  visible_ = false;
}

void ProgressBar::draw(int64_t step, int64_t total, const std::string& text) {
  if (!active_) return;
  winsize size{};
  const int columns = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
  constexpr int kCells = 24;
  const int full = static_cast<int>(kCells * step / std::max<int64_t>(total, 1));
  std::string line;
  for (int i = 0; i < kCells; ++i) line += i < full ? "\u2588" : "\u2591";
  std::string tail = fmt::format(" {:3d}% {}", 100 * step / std::max<int64_t>(total, 1), text);
  if (static_cast<int>(tail.size()) + kCells >= columns)
    tail.resize(static_cast<size_t>(std::max(0, columns - kCells - 1)));
  std::fputs(("\r\033[K" + line + tail).c_str(), stderr);
  std::fflush(stderr);
  visible_ = true;
}

}  // namespace moe
