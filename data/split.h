// One split of a corpus (train, validation, test): a sequence of tokens that may lie in several shards, or in
// memory.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/token_file.h"

namespace moe {

class Split {
 public:
  explicit Split(std::string name) : name_(std::move(name)) {}

  // The tokens [begin, begin + count) of a file, or a piece of memory, follow what the split has so far. Both
  // must outlive the split.
  void append(const TokenFile& file, int64_t begin, int64_t count);
  void append(std::span<const int32_t> tokens);
  // The tokens [begin, begin + count) as a split of their own.
  Split slice(std::string name, int64_t begin, int64_t count) const;
  // How many bytes of text each token stands for: by its id, or token by token in a file of the split's length. Both
  // must outlive the split and its slices.
  void measure_by_id(const std::vector<int32_t>& bytes_by_id) { bytes_by_id_ = &bytes_by_id; }
  void measure_by_file(const TokenFile& lengths);
  // All bytes that were read for the split, those that no token has included.
  void set_raw_bytes(int64_t raw_bytes) { raw_bytes_ = raw_bytes; }

  const std::string& name() const { return name_; }
  int64_t num_tokens() const { return num_tokens_; }
  // Bytes of text that the split was made of; unknown for slices and for data that another program tokenised.
  std::optional<int64_t> raw_bytes() const { return raw_bytes_; }
  // Bytes of text that the tokens [begin, begin + count) stand for, to the byte; nothing where that is not known.
  std::optional<int64_t> raw_bytes(int64_t begin, int64_t count) const;
  // On average over the split, or over the first million tokens where the whole is not known without reading it;
  // nothing of no tokens.
  std::optional<double> bytes_per_token() const;

  // Seamless across shards. A token outside the vocabulary is a DataError.
  void read(int64_t begin, int64_t count, int32_t* out) const;
  int32_t at(int64_t index) const;
  // Which of the split's files (or pieces of memory), counted from 0, token `index` lies in; the last one behind the
  // end.
  int32_t part_of(int64_t index) const;

  // XXH64 of the number of tokens and of 64 evenly spaced blocks of 1024 tokens, the first and the last
  // included (of all tokens where there are fewer). The same however the tokens are sharded and stored; cheap
  // on any size, so a change between the blocks goes unseen.
  uint64_t content_hash() const;

 private:
  struct Part {
    const TokenFile* file;  // null: `memory`
    const int32_t* memory;
    int64_t file_begin;
    int64_t begin;  // place in the split
    int64_t count;
  };

  std::string name_;
  std::vector<Part> parts_;
  int64_t num_tokens_ = 0;
  std::optional<int64_t> raw_bytes_;
  const std::vector<int32_t>* bytes_by_id_ = nullptr;
  const TokenFile* lengths_ = nullptr;
  int64_t lengths_begin_ = 0;  // the first token's place in that file
};

}  // namespace moe
