// A corpus: its tokenizer and its splits. Opened from a folder that moe-data prepared, from llm.c's .bin
// shards, or made on the spot by a synthetic source.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/split.h"
#include "data/synthetic.h"
#include "data/token_file.h"
#include "data/tokenizer.h"

namespace moe {

// What .bin files do not say about themselves. Ignored for prepared folders.
struct CorpusOptions {
  // 0: the tokenizer's; without one, as in llm.c, GPT-2's 50257 for 16-bit and Llama 3's 128256 for 32-bit tokens.
  int64_t vocab_size = 0;
  // The tail of the training tokens that serves as validation where no file is named for it.
  double validation_share = 0.05;
  // What their tokens are: the folder of GPT-2's files or a .model file of SentencePiece; empty: unknown.
  std::string tokenizer = {};
};

class Corpus {
 public:
  // `path`: a prepared folder, one .bin file, a folder of .bin shards, or a pattern like
  // "data/fineweb_*.bin". Shards whose names contain "val" are validation, those with "test" are test, all
  // others train. Everything wrong is a DataError.
  static Corpus open(const std::string& path, const CorpusOptions& options = {});
  // Holds its tokens in memory and logs its entropy rate.
  static Corpus synthetic(const SyntheticConfig& config);

  const std::string& name() const { return name_; }
  const Tokenizer& tokenizer() const { return *tokenizer_; }
  int64_t vocab_size() const { return tokenizer_->vocab_size(); }

  const std::vector<Split>& splits() const { return splits_; }
  bool has_split(std::string_view name) const;
  // DataError that lists the splits there are.
  const Split& split(std::string_view name) const;

  // Nats per token; only of synthetic text.
  std::optional<double> entropy_rate() const { return entropy_rate_; }

  // Tokens that are held in memory; those of files are only mapped.
  int64_t memory_bytes() const;

  // Reads everything: all tokens inside the vocabulary, all files as they were prepared.
  void verify() const;

 private:
  Corpus() = default;
  static Corpus open_prepared(const std::string& folder);
  static Corpus open_shards(const std::string& path, const std::vector<std::string>& files,
                            const CorpusOptions& options);
  const TokenFile& add_file(const std::string& path, int64_t vocab_size);
  void measure_by_id();
  void hold_out_tail(double share);

  std::string name_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<const std::vector<int32_t>> bytes_by_id_;  // which the splits point to
  std::vector<std::unique_ptr<TokenFile>> files_;            // behind pointers, which the splits keep
  std::vector<std::string> file_hashes_;                     // as recorded; empty for foreign shards
  std::vector<std::vector<int32_t>> memory_;
  std::vector<Split> splits_;
  std::optional<double> entropy_rate_;
};

}  // namespace moe
