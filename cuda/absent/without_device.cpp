// The devices of a build without CUDA: there are none, and every request for one throws.
#include "core/tensor/device.h"
#include "cuda/absent/refuse.h"

namespace moe::cuda {

bool built() {
  return false;
}
std::string build_description() {
  return "no";
}
int device_count() {
  return 0;
}
std::string why_no_device() {
  return kNoCuda;
}
std::string why_unusable(int) {
  return kNoCuda;
}
std::string describe_device(int) {
  refuse();
}
std::shared_ptr<Queue> make_queue(int) {
  refuse();
}
void synchronise(Queue&) {
  refuse();
}
uint64_t submissions() {
  return 0;
}
MemoryInfo memory_info() {
  refuse();
}
void* allocate(size_t) {
  refuse();
}
void* allocate_managed(size_t) {
  refuse();
}
void release(void*) noexcept {}
void copy_now(void*, const void*, size_t, Direction) {
  refuse();
}
void copy_bytes(Queue&, void*, const void*, size_t, Direction) {
  refuse();
}

}  // namespace moe::cuda
