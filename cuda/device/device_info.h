// The device properties that launchers use.
#pragma once
#include <cstddef>
#include <string>

namespace moe::cuda {

struct DeviceInfo {
  std::string name;
  int multiprocessors = 0;
  int capability = 0;                 // 80 for 8.0
  size_t shared_bytes_per_block = 0;  // with opt-in
  size_t total_bytes = 0, l2_bytes = 0;
};

DeviceInfo device_info(int index);  // throws DeviceError

}  // namespace moe::cuda
