// A set of 64-bit hashes in one table, for many of them: 12 to 23 bytes each.
#pragma once
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace moe {

class HashSet {
 public:
  // Returns false if it was in the set already.
  bool insert(uint64_t hash) {
    if (hash == 0) return !std::exchange(has_zero_, true);
    if (3 * (size_ + 1) > 2 * table_.size()) grow();
    uint64_t& place = place_of(hash);
    if (place == hash) return false;
    place = hash;
    ++size_;
    return true;
  }
  bool contains(uint64_t hash) const {
    if (hash == 0) return has_zero_;
    return !table_.empty() && const_cast<HashSet*>(this)->place_of(hash) == hash;
  }

 private:
  // Where it is, or else the free place for it, which is 0. The low bits of a good hash are as good as any.
  uint64_t& place_of(uint64_t hash) {
    size_t at = hash & (table_.size() - 1);
    while (table_[at] != 0 && table_[at] != hash) at = (at + 1) & (table_.size() - 1);
    return table_[at];
  }
  void grow() {
    std::vector<uint64_t> old(table_.empty() ? 1024 : 2 * table_.size());
    old.swap(table_);
    for (const uint64_t hash : old) {
      if (hash != 0) place_of(hash) = hash;
    }
  }

  std::vector<uint64_t> table_;  // 0: free; its size is a power of two
  size_t size_ = 0;
  bool has_zero_ = false;
};

}  // namespace moe
