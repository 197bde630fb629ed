#include "data/split.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/content_hash.h"

namespace moe {

void Split::append(const TokenFile& file, int64_t begin, int64_t count) {
  MOE_CHECK(begin >= 0 && count >= 0 && count <= file.num_tokens() - begin, "tokens [{}, +{}) of {} in {}", begin,
            count, file.num_tokens(), file.path());
  parts_.push_back({.file = &file, .memory = nullptr, .file_begin = begin, .begin = num_tokens_, .count = count});
  num_tokens_ += count;
}

void Split::append(std::span<const int32_t> tokens) {
  const auto count = static_cast<int64_t>(tokens.size());
  parts_.push_back({.file = nullptr, .memory = tokens.data(), .file_begin = 0, .begin = num_tokens_, .count = count});
  num_tokens_ += count;
}

Split Split::slice(std::string name, int64_t begin, int64_t count) const {
  MOE_CHECK(begin >= 0 && count >= 0 && count <= num_tokens_ - begin, "tokens [{}, +{}) of {} in split {}", begin,
            count, num_tokens_, name_);
  Split result(std::move(name));
  result.bytes_by_id_ = bytes_by_id_;
  result.lengths_ = lengths_;
  result.unknown_ = unknown(begin, count);
  result.unknown_by_token_ = unknown_by_token_;
  result.documents_ = documents_;
  result.scored_ = scored_;
  result.measures_begin_ = measures_begin_ + begin;
  for (const Part& part : parts_) {
    const int64_t first = std::max(begin, part.begin);
    const int64_t end = std::min(begin + count, part.begin + part.count);
    if (first >= end) continue;
    const int64_t skipped = first - part.begin;
    if (part.file) {
      result.append(*part.file, part.file_begin + skipped, end - first);
    } else {
      result.append(std::span(part.memory + skipped, static_cast<size_t>(end - first)));
    }
  }
  return result;
}

void Split::read(int64_t begin, int64_t count, int32_t* out) const {
  MOE_CHECK(begin >= 0 && count >= 0 && count <= num_tokens_ - begin, "tokens [{}, +{}) of {} in split {}", begin,
            count, num_tokens_, name_);
  auto part = std::upper_bound(parts_.begin(), parts_.end(), begin,
                               [](int64_t position, const Part& candidate) { return position < candidate.begin; });
  if (part != parts_.begin()) --part;
  for (; count > 0; ++part) {
    const int64_t skipped = begin - part->begin;
    const int64_t here = std::min(count, part->count - skipped);
    if (part->file) {
      part->file->read(part->file_begin + skipped, here, out);
    } else {
      std::copy_n(part->memory + skipped, here, out);
    }
    begin += here;
    count -= here;
    out += here;
  }
}

void Split::measure_by_file(const TokenFile& lengths) {
  MOE_CHECK(lengths.num_tokens() == num_tokens_, "{} lengths in {} of {} tokens in split {}", lengths.num_tokens(),
            lengths.path(), num_tokens_, name_);
  lengths_ = &lengths;
  measures_begin_ = 0;
}

std::optional<int64_t> Split::raw_bytes(int64_t begin, int64_t count) const {
  if (!bytes_by_id_ && !lengths_) return std::nullopt;
  constexpr int64_t kBlock = 1 << 16;
  std::vector<int32_t> block(static_cast<size_t>(std::clamp<int64_t>(count, 0, kBlock)));
  int64_t bytes = 0;
  for (const int64_t end = begin + count; begin < end; begin += kBlock) {
    const int64_t here = std::min(kBlock, end - begin);
    if (lengths_) {
      lengths_->read(measures_begin_ + begin, here, block.data());
    } else {
      read(begin, here, block.data());
    }
    for (int64_t i = 0; i < here; ++i) {
      const int32_t value = block[as_index(i)];
      bytes += lengths_ ? value : (*bytes_by_id_)[as_index(value)];
    }
  }
  return bytes;
}

void Split::set_unknown(const UnknownText& unknown, const TokenFile* by_token) {
  MOE_CHECK(!by_token || by_token->num_tokens() == num_tokens_, "unknown text of {} tokens in split {} of {}",
            by_token->num_tokens(), name_, num_tokens_);
  MOE_CHECK(by_token || unknown == UnknownText{}, "no file of the unknown text in split {}", name_);
  unknown_ = unknown;
  unknown_by_token_ = by_token;
  measures_begin_ = 0;
}

std::optional<UnknownText> Split::unknown(int64_t begin, int64_t count) const {
  if (!unknown_ || !unknown_by_token_ || (begin == 0 && count == num_tokens_)) return unknown_;
  UnknownText found;
  constexpr int64_t kBlock = 1 << 16;
  std::vector<int32_t> block(static_cast<size_t>(std::clamp<int64_t>(count, 0, kBlock)));
  for (const int64_t end = begin + count; begin < end; begin += kBlock) {
    const int64_t here = std::min(kBlock, end - begin);
    unknown_by_token_->read(measures_begin_ + begin, here, block.data());
    for (int64_t i = 0; i < here; ++i) {
      found.bytes += block[as_index(i)];
      found.tokens += block[as_index(i)] > 0;
    }
  }
  return found;
}

std::optional<double> Split::bytes_per_token() const {
  if (num_tokens_ == 0) return std::nullopt;
  if (raw_bytes_) return static_cast<double>(*raw_bytes_) / static_cast<double>(num_tokens_);
  const int64_t count = std::min<int64_t>(num_tokens_, 1'000'000);
  const auto bytes = raw_bytes(0, count);
  if (!bytes) return std::nullopt;
  return static_cast<double>(*bytes) / static_cast<double>(count);
}

int32_t Split::at(int64_t index) const {
  int32_t token = 0;
  read(index, 1, &token);
  return token;
}

void Split::set_documents(const DocumentIndex& documents) {
  documents_ = &documents;
  measures_begin_ = 0;
}

void Split::set_scored(const DocumentIndex& spans) {
  scored_ = &spans;
  measures_begin_ = 0;
}

int64_t Split::num_documents() const {
  if (!documents_ || num_tokens_ == 0) return 0;
  return documents_->find(measures_begin_ + num_tokens_ - 1) - documents_->find(measures_begin_) + 1;
}

int32_t Split::source_of(int64_t index) const {
  if (documents_ && num_tokens_ > 0) {
    const int64_t token = measures_begin_ + std::min(index, num_tokens_ - 1);
    return static_cast<int32_t>(documents_->at(documents_->find(token)).source);
  }
  const auto next = std::upper_bound(parts_.begin(), parts_.end(), index, [](int64_t position, const Part& candidate) {
    return position < candidate.begin;
  });
  return static_cast<int32_t>(std::max<std::ptrdiff_t>(next - parts_.begin() - 1, 0));
}

uint64_t Split::content_hash() const {
  constexpr int64_t kBlocks = 64;
  constexpr int64_t kBlockTokens = 1024;
  std::vector<int32_t> tokens(static_cast<size_t>(kBlockTokens));
  ContentHash hash;
  hash.update(&num_tokens_, sizeof(num_tokens_));
  const auto add = [&](int64_t begin, int64_t count) {
    read(begin, count, tokens.data());
    hash.update(tokens.data(), count * static_cast<int64_t>(sizeof(int32_t)));
  };
  if (num_tokens_ <= kBlocks * kBlockTokens) {
    for (int64_t begin = 0; begin < num_tokens_; begin += kBlockTokens) {
      add(begin, std::min(kBlockTokens, num_tokens_ - begin));
    }
  } else {
    const int64_t last = num_tokens_ - kBlockTokens;
    for (int64_t block = 0; block < kBlocks; ++block) {
      // Two terms, because block * last may overflow for very large corpora.
      add(last / (kBlocks - 1) * block + last % (kBlocks - 1) * block / (kBlocks - 1), kBlockTokens);
    }
  }
  return hash.value();
}

}  // namespace moe
