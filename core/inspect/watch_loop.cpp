#include "core/inspect/watch_loop.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <thread>

#include "core/base/output.h"
#include "core/inspect/text_report.h"
#include "core/inspect/watch.h"

namespace moe {
namespace {

struct Size {
  int64_t columns = 80, rows = 24;
};

Size terminal_size() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

}  // namespace

void watch_run(const std::string& folder, double seconds, bool once) {
  const bool in_place = !once && is_capable_terminal(STDOUT_FILENO);
  const Painter paint(wants_colour());
  for (;;) {
    const WatchedRun run = read_watched_run(folder);
    const Size size = terminal_size();
    // Clears the screen and goes to its beginning.
    if (in_place) std::cout << "\x1b[H\x1b[2J";
    std::cout << watch_screen(run, size.columns, size.rows, paint) << std::flush;
    if (!in_place || run.is_over()) return;
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }
}

}  // namespace moe
