// Labelled texts with their splits, tokenised.
#pragma once
#include <memory>
#include <span>
#include <string_view>

#include "core/base/integer.h"
#include "core/config/train_config.h"
#include "data/class_counts.h"
#include "data/texts/text_set.h"
#include "data/tokenizer.h"
#include "data/unknown_text.h"

namespace moe {

// A subset of a set's texts, each truncated to the number of tokens that a model reads.
class LabelledTexts {
 public:
  // Reads only `members` of the set. Throws DataError for a text that the tokenizer cannot encode.
  LabelledTexts(std::string name, std::shared_ptr<const TextSet> set, std::vector<int64_t> members,
                const LabelledDataConfig& config, const Tokenizer& tokenizer, int64_t longest);

  const std::string& name() const { return name_; }
  int64_t size() const { return static_cast<int64_t>(members_.size()); }
  std::string_view text(int64_t i) const { return set_->text(members_[as_index(i)]); }
  int32_t label(int64_t i) const { return set_->label(members_[as_index(i)]); }
  std::span<const int32_t> tokens(int64_t i) const {
    return std::span(tokens_).subspan(static_cast<size_t>(begin(i)), static_cast<size_t>(length(i)));
  }
  int64_t length(int64_t i) const { return ends_[as_index(i)] - begin(i); }
  int64_t num_tokens() const { return std::ssize(tokens_); }
  int64_t longest() const { return longest_; }
  int64_t num_cut() const { return num_cut_; }  // texts that were truncated
  // Of all tokens, before truncation.
  const UnknownText& unknown() const { return unknown_; }
  int64_t num_encoded() const { return num_encoded_; }
  // XXH64 of all original texts and labels in order, before cleaning and truncation.
  uint64_t content_hash() const;
  int64_t memory_bytes() const { return (num_tokens() + 2 * size()) * 8; }

 private:
  int64_t begin(int64_t i) const { return i > 0 ? ends_[as_index(i - 1)] : 0; }

  std::string name_;
  std::shared_ptr<const TextSet> set_;
  std::vector<int64_t> members_;
  std::vector<int32_t> tokens_;  // of all texts, concatenated
  std::vector<int64_t> ends_;
  int64_t longest_ = 0, num_cut_ = 0, num_encoded_ = 0;
  UnknownText unknown_;
};

class TextCorpus {
 public:
  struct Setup {
    const LabelledDataConfig& config;
    // The tokenizer of the texts; null: config.tokenizer, made from the training texts.
    std::unique_ptr<Tokenizer> tokenizer{};
    int64_t longest = 0;  // number of tokens that are kept of a text
  };
  // Reads the folder `path`. Throws DataError for faults in its files, UsageError when validation would leave nothing
  // to train on.
  static TextCorpus open(const std::string& path, const std::string& format, Setup setup);
  // Validation comes from the files or, without such a file, is drawn from the training texts by config.split_seed.
  TextCorpus(std::string name, TextFiles files, Setup setup);

  const std::string& name() const { return name_; }
  const std::vector<std::string>& classes() const { return classes_.names; }
  // Of the training file, held-out texts included.
  const ClassCounts& class_counts() const { return classes_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  bool has_split(std::string_view name) const;
  const LabelledTexts& split(std::string_view name) const;  // throws DataError that lists the existing splits
  const std::vector<LabelledTexts>& splits() const { return splits_; }
  int64_t memory_bytes() const;

 private:
  std::string name_;
  ClassCounts classes_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::vector<LabelledTexts> splits_;
  int64_t raw_bytes_ = 0;
};

}  // namespace moe
