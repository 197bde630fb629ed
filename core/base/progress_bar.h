// A live progress bar on a terminal; without a terminal it draws nothing.
#pragma once
#include <cstdint>
#include <string>

namespace moe {

class ProgressBar {
 public:
  // `shown`: whether this rank draws the bar. It is only drawn if standard error is a terminal.
  explicit ProgressBar(bool shown);
  ~ProgressBar();
  void draw(int64_t step, int64_t total, const std::string& text);
  // Erases the bar, so that a line can be printed.
  void clear();

 private:
  bool active_;
  bool visible_ = false;
};

}  // namespace moe
