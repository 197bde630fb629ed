#include "data/corpus.h"

#include <glob.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/text.h"
#include "data/content_hash.h"
#include "data/corpus_manifest.h"
#include "data/find_split.h"
#include "data/tokenizers/external.h"

namespace moe {

namespace fs = std::filesystem;

static std::vector<std::string> matching_files(const std::string& pattern) {
  glob_t matches = {};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &matches) == 0) {
    paths.assign(matches.gl_pathv, matches.gl_pathv + matches.gl_pathc);  // sorted by glob
  }
  ::globfree(&matches);
  return paths;
}

static std::string how_to_prepare(const std::string& path) {
  return fmt::format("if it is text, make a corpus of it and use its folder: moe-data prepare --input {} --output {}",
                     path, "corpora/" + fs::path(path).lexically_normal().stem().string());
}

Corpus Corpus::open(const std::string& path, const CorpusOptions& options) {
  if (fs::is_directory(path)) {
    if (CorpusManifest::exists_in(path)) return open_prepared(path);
    const std::vector<std::string> files = matching_files(path + "/*.bin");
    if (files.empty()) {
      raise<DataError>("{}: neither a prepared corpus (no corpus.json) nor a folder of .bin token files; {}", path,
                       how_to_prepare(path));
    }
    return open_shards(path, files, options);
  }
  if (fs::exists(path)) {
    if (!TokenFile::is_one(path)) {
      raise<DataError>("{}: neither the folder of a prepared corpus nor a .bin file of tokens; {}", path,
                       how_to_prepare(path));
    }
    return open_shards(path, {path}, options);
  }
  const std::vector<std::string> files = matching_files(path);
  if (files.empty()) raise<DataError>("{}: no such corpus; make one from text with moe-data prepare", path);
  return open_shards(path, files, options);
}

Corpus Corpus::open_prepared(const std::string& folder) {
  const CorpusManifest manifest = CorpusManifest::read(folder);
  const std::string manifest_path = CorpusManifest::path_in(folder);
  Corpus corpus;
  corpus.manifest_path_ = manifest_path;
  corpus.manifest_as_written_ = manifest.as_written;
  corpus.name_ = manifest.name;
  corpus.tokenizer_ = load_tokenizer(manifest.tokenizer, manifest_path);
  corpus.entropy_rate_ = manifest.entropy_rate;
  corpus.sources_ = manifest.sources;
  if (corpus.vocab_size() != manifest.vocab_size) {
    raise<DataError>("{}: vocab_size is {}, but its {} tokenizer has {}", manifest_path, manifest.vocab_size,
                     corpus.tokenizer().name(), corpus.vocab_size());
  }
  for (const CorpusManifest::Split& described : manifest.splits) {
    const TokenFile& file = corpus.add_file(folder + "/" + described.file, corpus.vocab_size());
    if (file.num_tokens() != described.num_tokens) {
      raise<DataError>("{}: {} tokens; expected {} by corpus.json", file.path(), file.num_tokens(),
                       described.num_tokens);
    }
    corpus.file_hashes_.push_back(described.payload_hash);
    Split& split = corpus.splits_.emplace_back(described.name);
    split.append(file, 0, file.num_tokens());
    if (described.raw_bytes) split.set_raw_bytes(*described.raw_bytes);
    // A file that has a value for each token.
    const auto add_measure = [&](const std::string& name, const std::string& hash, const char* what) {
      const TokenFile& measure = corpus.add_file(folder + "/" + name, int64_t{1} << 16);
      if (measure.num_tokens() != file.num_tokens()) {
        raise<DataError>("{}: {} {}; expected one for each of {} tokens", measure.path(), measure.num_tokens(), what,
                         file.num_tokens());
      }
      corpus.file_hashes_.push_back(hash);
      return &measure;
    };
    if (described.unknown) {
      const std::string& name = described.unknown_file;
      split.set_unknown(*described.unknown,
                        name.empty() ? nullptr : add_measure(name, described.unknown_hash, "counts of unknown text"));
    }
    if (!described.documents_file.empty()) {
      const DocumentIndex& documents = *corpus.indices_.emplace_back(std::make_unique<DocumentIndex>(
          folder + "/" + described.documents_file, file.num_tokens(), std::ssize(corpus.sources_)));
      if (documents.size() != described.num_documents) {
        raise<DataError>("{}: {} documents; expected {} by corpus.json", documents.path(), documents.size(),
                         described.num_documents);
      }
      corpus.index_hashes_.push_back(described.documents_hash);
      split.set_documents(documents);
    }
    if (!described.scored_file.empty()) {
      corpus.indices_.push_back(
          std::make_unique<DocumentIndex>(folder + "/" + described.scored_file, file.num_tokens(), 2));
      corpus.index_hashes_.push_back(described.scored_hash);
      split.set_scored(*corpus.indices_.back());
    }
    if (described.lengths_file.empty()) continue;
    const TokenFile* lengths = add_measure(described.lengths_file, described.lengths_hash, "lengths");
    // Older synthetic corpora have a length of 0 for each token. A split that was not made from text has no bytes to
    // count, so its losses are per token.
    if (described.raw_bytes) split.measure_by_file(*lengths);
  }
  if (corpus.splits_.empty()) raise<DataError>("{}: a corpus without splits", manifest_path);
  corpus.measure_by_id();
  for (const Split& split : corpus.splits_) {
    if (split.raw_bytes() && !split.raw_bytes(0, 0))
      log::warn(
          "{}: split {} was prepared without the byte lengths of its tokens, so bits per byte are unknown; "
          "prepare it again with --force",
          manifest_path, split.name());
  }
  return corpus;
}

Corpus Corpus::open_shards(const std::string& path, const std::vector<std::string>& files,
                           const CorpusOptions& options) {
  Corpus corpus;
  corpus.name_ = fs::path(path).lexically_normal().stem().string();

  std::vector<TokenFile> opened;
  for (const std::string& file : files) opened.emplace_back(file);
  const int64_t bytes_per_token = opened.front().bytes_per_token();
  for (const TokenFile& file : opened) {
    if (file.bytes_per_token() != bytes_per_token) {
      raise<DataError>("{} has tokens of {} bytes, {} of {}: shards of one corpus must agree", file.path(),
                       file.bytes_per_token(), opened.front().path(), bytes_per_token);
    }
  }
  int64_t vocab_size = options.vocab_size;
  if (!options.tokenizer.empty()) {
    corpus.tokenizer_ = open_tokenizer(options.tokenizer, options.pattern);
    vocab_size = corpus.vocab_size();
    if (options.vocab_size != 0 && options.vocab_size != vocab_size)
      raise<UsageError>("vocab_size is {}, but {} has {} tokens", options.vocab_size, options.tokenizer, vocab_size);
  } else if (vocab_size == 0) {
    vocab_size = bytes_per_token == 2 ? 50257 : 128256;
    log::info("{}: assuming a vocabulary of {} tokens ({}), as llm.c does for {}-bit files", path, vocab_size,
              bytes_per_token == 2 ? "GPT-2" : "Llama 3", 8 * bytes_per_token);
  }
  if (!corpus.tokenizer_) corpus.tokenizer_ = std::make_unique<ExternalTokenizer>(vocab_size);

  for (const std::string_view name : kSplitNames) corpus.splits_.emplace_back(std::string(name));
  for (const std::string& file : files) {
    const std::string stem = fs::path(file).stem().string();
    const auto is = [&](const char* word) { return files.size() > 1 && stem.find(word) != std::string::npos; };
    const size_t split = is("val") ? 1 : is("test") ? 2 : 0;
    const TokenFile& added = corpus.add_file(file, vocab_size);
    corpus.splits_[split].append(added, 0, added.num_tokens());
  }
  if (corpus.splits_[0].num_tokens() == 0) raise<DataError>("{}: no training tokens in {} files", path, files.size());
  if (corpus.splits_[1].num_tokens() == 0) corpus.hold_out_tail(options.validation_share);
  std::erase_if(corpus.splits_, [](const Split& split) { return split.num_tokens() == 0; });
  corpus.measure_by_id();
  return corpus;
}

const TokenFile& Corpus::add_file(const std::string& path, int64_t vocab_size) {
  files_.push_back(std::make_unique<TokenFile>(path));
  files_.back()->expect_vocabulary(vocab_size);
  return *files_.back();
}

// Measures every split if the tokenizer's ids determine how many bytes they stand for; then it has no unknown token.
void Corpus::measure_by_id() {
  auto bytes = tokenizer_->bytes_by_id();
  if (!bytes) return;
  bytes_by_id_ = std::make_unique<const std::vector<int32_t>>(std::move(*bytes));
  for (Split& split : splits_) {
    split.measure_by_id(*bytes_by_id_);
    split.set_unknown({}, nullptr);
  }
}

void Corpus::hold_out_tail(double share) {
  if (!(share >= 0 && share < 1))
    raise<UsageError>("a validation share of {}; expected at least 0 and less than 1", share);
  const Split all = std::move(splits_[0]);
  const auto held_out = static_cast<int64_t>(std::floor(share * static_cast<double>(all.num_tokens())));
  const int64_t kept = all.num_tokens() - held_out;
  splits_[0] = all.slice("train", 0, kept);
  splits_[1] = all.slice("validation", kept, held_out);
  log::info("{}: no validation file, so the last {:.3g} % of the training tokens ({}) are used", name_, 100 * share,
            held_out);
}

Corpus Corpus::synthetic(const SyntheticConfig& config) {
  const SyntheticSource source(config);
  Corpus corpus;
  corpus.name_ = "synthetic";
  corpus.tokenizer_ = std::make_unique<ExternalTokenizer>(config.states);
  corpus.entropy_rate_ = source.entropy_rate();
  const std::array<int64_t, 3> sizes = {config.train_tokens, config.validation_tokens, config.test_tokens};
  for (size_t i = 0; i < sizes.size(); ++i) {
    if (sizes[i] < 0) raise<UsageError>("synthetic corpus: {} {} tokens", sizes[i], kSplitNames[i]);
    if (sizes[i] == 0) continue;
    corpus.memory_.push_back(source.generate(static_cast<uint32_t>(i), sizes[i]));
    corpus.splits_.emplace_back(std::string(kSplitNames[i])).append(corpus.memory_.back());
  }
  log::info("synthetic corpus: {} states, order {}, entropy rate {:.6f} nats/token ({:.6f} bits)", config.states,
            config.order, source.entropy_rate(), source.entropy_rate() / std::log(2.0));
  return corpus;
}

bool Corpus::has_split(std::string_view name) const {
  return find_split(splits_, name) != nullptr;
}

const Split& Corpus::split(std::string_view name) const {
  return split_named(name_, splits_, name);
}

std::vector<UnknownShare> Corpus::unknown_shares() const {
  std::vector<UnknownShare> shares;
  for (const Split& split : splits_) {
    if (const auto unknown = split.unknown()) shares.push_back({split.name(), unknown->share_of(split.num_tokens())});
  }
  return shares;
}

std::vector<std::string> Corpus::doubts() const {
  std::vector<std::string> found;
  const bool counted = std::all_of(splits_.begin(), splits_.end(),
                                   [](const Split& split) { return split.unknown() || !split.raw_bytes(); });
  if (auto doubt = doubt_of_unknown(unknown_shares())) found.push_back(std::move(*doubt));
  if (!counted) {
    found.push_back(
        fmt::format("{} was prepared before unknown tokens were counted, so bits per character do not charge them; "
                    "prepare it again with --force",
                    name_));
  }
  return found;
}

int64_t Corpus::memory_bytes() const {
  int64_t bytes = 0;
  for (const std::vector<int32_t>& tokens : memory_) bytes += static_cast<int64_t>(tokens.size() * sizeof(int32_t));
  return bytes;
}

std::vector<VerifiedFile> Corpus::verify() const {
  constexpr int64_t kBlockTokens = 1 << 16;
  std::vector<int32_t> tokens(static_cast<size_t>(kBlockTokens));
  std::vector<VerifiedFile> files;
  std::vector<std::string> changed;
  if (!manifest_path_.empty()) {
    files.push_back({manifest_path_, manifest_as_written_.has_value()});
    if (!manifest_as_written_.value_or(true)) changed.push_back(manifest_path_);
  }
  for (size_t i = 0; i < files_.size(); ++i) {
    const TokenFile& file = *files_[i];
    const bool hashed = i < file_hashes_.size();
    files.push_back({file.path(), hashed});
    if (hashed && (!file.has_plain_header() || format_hash(file.payload_hash()) != file_hashes_[i])) {
      changed.push_back(file.path());
      continue;
    }
    for (int64_t begin = 0; begin < file.num_tokens(); begin += kBlockTokens) {
      file.read(begin, std::min(kBlockTokens, file.num_tokens() - begin), tokens.data());
    }
  }
  for (size_t i = 0; i < indices_.size(); ++i) {
    files.push_back({indices_[i]->path(), true});
    if (format_hash(indices_[i]->payload_hash()) != index_hashes_[i]) changed.push_back(indices_[i]->path());
  }
  if (!changed.empty()) {
    raise<CheckpointError>(
        "{}: not what was prepared: the content has another hash than was recorded. Prepare the corpus again, or copy "
        "it "
        "again from where it is whole",
        join(changed, ", "));
  }
  return files;
}

}  // namespace moe
