// XXH64 with seed 0 (github.com/Cyan4973/xxHash), fed in any number of pieces. It identifies data; it does not protect
// against deliberate manipulation.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace moe {

class ContentHash {
 public:
  ContentHash();
  void update(const void* data, int64_t bytes);
  uint64_t value() const;

 private:
  static constexpr int64_t kStripeBytes = 32;
  std::array<uint64_t, 4> lanes_;
  std::array<unsigned char, kStripeBytes> tail_ = {};
  int64_t tail_bytes_ = 0;
  uint64_t total_bytes_ = 0;
};

std::string format_hash(uint64_t hash);  // 16 hexadecimal digits, as xxhsum prints them
std::string hash_of_text(std::string_view text);

}  // namespace moe
