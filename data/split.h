// One split of a corpus (train, validation, test): a sequence of tokens that may lie in several shards, or in
// memory.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "data/document_index.h"
#include "data/token_file.h"
#include "data/unknown_text.h"

namespace moe {

class Split {
 public:
  explicit Split(std::string name) : name_(std::move(name)) {}

  // Appends the tokens [begin, begin + count) of a file, or a block of memory, to the split. Both must outlive the
  // split.
  void append(const TokenFile& file, int64_t begin, int64_t count);
  void append(std::span<const int32_t> tokens);
  // Returns the tokens [begin, begin + count) as a new split.
  Split slice(std::string name, int64_t begin, int64_t count) const;
  // Sets how many bytes of text each token stands for: by its id, or token by token in a file of the split's length.
  // Both must outlive the split and its slices.
  void measure_by_id(const std::vector<int32_t>& bytes_by_id) { bytes_by_id_ = &bytes_by_id; }
  void measure_by_file(const TokenFile& lengths);
  // Sets how much of the whole split is unknown text, and, where it is any, the file that has its bytes token by token,
  // which must outlive the split and its slices.
  void set_unknown(const UnknownText& unknown, const TokenFile* by_token);
  // Sets where the documents of the whole split begin. The index must outlive the split and its slices.
  void set_documents(const DocumentIndex& documents);
  // Sets which tokens of the whole split count as predictions: an index of spans, whose sources are 1 for tokens that
  // do and 0 for others. It must outlive the split and its slices.
  void set_scored(const DocumentIndex& spans);
  // All bytes that were read for the split, including those that no token covers.
  void set_raw_bytes(int64_t raw_bytes) { raw_bytes_ = raw_bytes; }

  const std::string& name() const { return name_; }
  int64_t num_tokens() const { return num_tokens_; }
  // Bytes of text from which the split was made; unknown for slices and for data that another program tokenised.
  std::optional<int64_t> raw_bytes() const { return raw_bytes_; }
  // Exact number of bytes of text that the tokens [begin, begin + count) stand for; nothing where it is unknown.
  std::optional<int64_t> raw_bytes(int64_t begin, int64_t count) const;
  // Unknown text in the whole split, and in the tokens [begin, begin + count); nothing where it was not counted.
  std::optional<UnknownText> unknown() const { return unknown_; }
  std::optional<UnknownText> unknown(int64_t begin, int64_t count) const;
  // Average over the split, or over its first million tokens where the average of the whole requires reading it;
  // nothing for an empty split.
  std::optional<double> bytes_per_token() const;

  // Reads across shard boundaries. Throws DataError for a token outside the vocabulary.
  void read(int64_t begin, int64_t count, int32_t* out) const;
  int32_t at(int64_t index) const;
  // The source of token `index`: that of its document, or, where no documents are known, the index of the split's file
  // (or block of memory) that holds it. Past the end it is the last one.
  int32_t source_of(int64_t index) const;

  bool has_documents() const { return documents_ != nullptr; }
  // The number of documents that have tokens in the split; 0 where no documents are known.
  int64_t num_documents() const;
  // Calls visit(begin, source) for each document that has tokens in [begin, begin + count), with the place in the split
  // at which it begins, which is negative where the split begins after it; until visit returns false.
  template <class Visit>
  void visit_documents(int64_t begin, int64_t count, Visit visit) const {
    visit_index(documents_, begin, count, visit);
  }
  // Whether only some of the tokens count as predictions.
  bool has_scored() const { return scored_ != nullptr; }
  // Calls visit(begin, end, whether its tokens are scored) for the parts of the spans in [begin, begin + count).
  template <class Visit>
  void visit_scored(int64_t begin, int64_t count, Visit visit) const {
    int64_t from = begin;
    bool is_scored = false;
    visit_index(scored_, begin, count, [&](int64_t place, int64_t source) {
      if (place > from) visit(from, place, is_scored);
      from = std::max(from, place);
      is_scored = source == 1;
      return true;
    });
    if (from < begin + count) visit(from, begin + count, is_scored);
  }

  // XXH64 of the number of tokens and of 64 evenly spaced blocks of 1024 tokens, the first and the last included (of
  // all tokens where there are fewer). It does not depend on how the tokens are sharded and stored. It is cheap for any
  // size, so a change between the blocks is not detected.
  uint64_t content_hash() const;

 private:
  template <class Visit>
  void visit_index(const DocumentIndex* index, int64_t begin, int64_t count, Visit visit) const {
    if (!index || count <= 0) return;
    const int64_t first = index->find(measures_begin_ + begin), end = measures_begin_ + begin + count;
    index->visit(first, index->size(), [&](const Document& document) {
      return document.begin < end && visit(document.begin - measures_begin_, document.source);
    });
  }

  struct Part {
    const TokenFile* file;  // null: the part is in `memory`
    const int32_t* memory;
    int64_t file_begin;
    int64_t begin;  // position in the split
    int64_t count;
  };

  std::string name_;
  std::vector<Part> parts_;
  int64_t num_tokens_ = 0;
  std::optional<int64_t> raw_bytes_;
  const std::vector<int32_t>* bytes_by_id_ = nullptr;
  const TokenFile* lengths_ = nullptr;
  std::optional<UnknownText> unknown_;
  const TokenFile* unknown_by_token_ = nullptr;  // null: none of the text is unknown, if it was counted
  const DocumentIndex* documents_ = nullptr;
  const DocumentIndex* scored_ = nullptr;
  int64_t measures_begin_ = 0;  // index in these files of the split's first token
};

}  // namespace moe
