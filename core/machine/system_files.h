// The text files in which Linux describes a machine, below /proc and /sys.
#pragma once
#include <optional>
#include <string>
#include <vector>

namespace moe {

class SystemFiles {
 public:
  // `root`: "" for this machine, or a folder with made-up /proc and /sys.
  explicit SystemFiles(std::string root = "") : root_(std::move(root)) {}

  // The text of a file ("/proc/self/cgroup"); nothing if it cannot be read.
  std::optional<std::string> read(const std::string& path) const;
  // The lines of a file; none if it cannot be read.
  std::vector<std::string> lines(const std::string& path) const;
  // A whole number in a file; nothing if there is none.
  std::optional<int64_t> number(const std::string& path) const;

 private:
  std::string root_;
};

// The numbers of a list of CPUs as Linux writes it: "0-3,8,10-11". Nothing else is in the result for other text.
std::vector<int> parse_cpu_list(const std::string& text);
// The opposite: {0, 1, 2, 8} -> "0-2,8". The numbers must be in ascending order.
std::string cpu_list_text(const std::vector<int>& cpus);

}  // namespace moe
