// A live bar on a terminal; nothing anywhere else.
#pragma once
#include <cstdint>
#include <string>

namespace moe {

class ProgressBar {
 public:
  // `shown`: whether this rank draws at all. Draws only when standard error is a terminal.
  explicit ProgressBar(bool shown);
  ~ProgressBar();
  void draw(int64_t step, int64_t total, const std::string& text);
  // Takes the bar away, so that a line can be printed.
  void clear();

 private:
  bool active_;
  bool visible_ = false;
};

}  // namespace moe
