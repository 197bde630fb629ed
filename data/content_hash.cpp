#include "data/content_hash.h"

#include <fmt/core.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace moe {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4Fu;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9u;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63u;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5u;

uint64_t mix(uint64_t lane, uint64_t word) {
  return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

template <class Word>
Word load(const unsigned char* bytes) {
  Word word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

void mix_stripe(std::array<uint64_t, 4>& lanes, const unsigned char* stripe) {
  for (size_t i = 0; i < 4; ++i) lanes[i] = mix(lanes[i], load<uint64_t>(stripe + 8 * i));
}

}  // namespace

ContentHash::ContentHash() : lanes_{kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1} {}

void ContentHash::update(const void* data, int64_t bytes) {
  const auto* next = static_cast<const unsigned char*>(data);
  total_bytes_ += static_cast<uint64_t>(bytes);
  if (tail_bytes_ > 0) {
    const int64_t count = std::min(bytes, kStripeBytes - tail_bytes_);
    std::copy_n(next, count, tail_.data() + tail_bytes_);
    tail_bytes_ += count;
    next += count;
    bytes -= count;
    if (tail_bytes_ < kStripeBytes) return;
    mix_stripe(lanes_, tail_.data());
    tail_bytes_ = 0;
  }
  for (; bytes >= kStripeBytes; bytes -= kStripeBytes, next += kStripeBytes) mix_stripe(lanes_, next);
  std::copy_n(next, bytes, tail_.data());
  tail_bytes_ = bytes;
}

uint64_t ContentHash::value() const {
  uint64_t hash = kPrime5;
  if (total_bytes_ >= static_cast<uint64_t>(kStripeBytes)) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) + std::rotl(lanes_[3], 18);
    for (const uint64_t lane : lanes_) hash = (hash ^ mix(0, lane)) * kPrime1 + kPrime4;
  }
  hash += total_bytes_;

  const unsigned char* next = tail_.data();
  int64_t left = tail_bytes_;
  for (; left >= 8; left -= 8, next += 8) {
    hash = std::rotl(hash ^ mix(0, load<uint64_t>(next)), 27) * kPrime1 + kPrime4;
  }
  if (left >= 4) {
    hash = std::rotl(hash ^ (load<uint32_t>(next) * kPrime1), 23) * kPrime2 + kPrime3;
    left -= 4;
    next += 4;
  }
  for (; left > 0; --left, ++next) hash = std::rotl(hash ^ (*next * kPrime5), 11) * kPrime1;

  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

std::string format_hash(uint64_t hash) {
  return fmt::format("{:016x}", hash);
}

std::string hash_of_text(std::string_view text) {
  ContentHash hash;
  hash.update(text.data(), std::ssize(text));
  return format_hash(hash.value());
}

}  // namespace moe
