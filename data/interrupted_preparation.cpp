#include "data/interrupted_preparation.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/base/integer.h"
#include "core/base/json_text.h"
#include "data/corpus_manifest.h"
#include "data/token_file.h"

namespace moe {

namespace fs = std::filesystem;

static constexpr const char* kSource = "source";
static constexpr const char* kTokenizer = "tokenizer";

void InterruptedPreparation::write_request(const std::string& folder, const Json& source, const Tokenizer& tokenizer) {
  write_text_file(folder + "/" + kRequestFile,
                  json_text({{kSource, source}, {kTokenizer, tokenizer.to_json()}}) + "\n");
}

// The tokenizer of a preparation of `source` in a folder, and how much it had written; 0 bytes: it is none.
struct Left {
  Json tokenizer;
  int64_t bytes = 0;
};

static Left left_in(const std::string& folder, const Json& source) {
  const std::string request = folder + "/" + InterruptedPreparation::kRequestFile;
  if (!fs::exists(request)) return {};
  const Json json = parse_json_or_null(read_text_file(request));
  const Json* const old_source = json.find(kSource);
  const Json* const tokenizer = json.find(kTokenizer);
  if (!old_source || !tokenizer || *old_source != source) return {};
  int64_t bytes = 1;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
  }
  return {*tokenizer, bytes};
}

std::unique_ptr<InterruptedPreparation> InterruptedPreparation::take(const std::string& folder,
                                                                     const std::string& aside, const Json& source) {
  // The second one was interrupted while it took from the first.
  const Left last = left_in(folder, source), before = left_in(aside, source);
  if (last.bytes == 0 && before.bytes == 0) return nullptr;
  const bool takes_last = last.bytes > before.bytes;
  if (takes_last) {
    std::error_code ignored;
    fs::remove_all(aside, ignored);
    rename_durably(folder, aside);
  }
  return std::unique_ptr<InterruptedPreparation>(
      new InterruptedPreparation(aside, takes_last ? last.tokenizer : before.tokenizer));
}

InterruptedPreparation::~InterruptedPreparation() {
  splits_ = {};
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::unique_ptr<Tokenizer> InterruptedPreparation::tokenizer() const {
  return load_tokenizer(description_, folder_ + "/" + kRequestFile);
}

void InterruptedPreparation::open(const Tokenizer& tokenizer) {
  if (!tokenizer.bytes_by_id() || tokenizer.to_json() != description_) return;
  tokenizer_ = &tokenizer;
  bytes_per_id_ = token_format(tokenizer.vocab_size()).bytes_per_token;
  for (size_t i = 0; i < splits_.size(); ++i) {
    const std::string base = folder_ + "/" + std::string(kSplitNames[i]);
    const std::string ids = base + ".bin.partial", documents = base + ".documents.partial";
    if (!fs::exists(ids) || !fs::exists(documents)) continue;
    OldSplit split{PosixFile::open(ids), PosixFile::open(documents)};
    split.num_ids = (split.ids.size() - kTokenHeaderBytes) / bytes_per_id_;
    split.num_documents = (split.documents.size() - kTokenHeaderBytes) / static_cast<int64_t>(sizeof(Document));
    splits_[i] = std::move(split);
  }
}

std::optional<std::array<int64_t, 2>> InterruptedPreparation::next_range(OldSplit& split) const {
  // A document ends where the next one begins, so the last one is not complete.
  if (split.next + 1 >= split.num_documents) return std::nullopt;
  std::array<Document, 2> both;
  const auto bytes = static_cast<int64_t>(sizeof both);
  const int64_t offset = kTokenHeaderBytes + split.next * static_cast<int64_t>(sizeof(Document));
  if (split.documents.read_at(both.data(), bytes, offset) < bytes) return std::nullopt;
  const int64_t begin = both[0].begin, end = both[1].begin;
  if (begin < 0 || end <= begin || end > split.num_ids) return std::nullopt;
  return std::array{begin, end};
}

std::vector<int32_t> InterruptedPreparation::read_ids(const OldSplit& split, int64_t begin, int64_t end) const {
  const auto count = as_index(end - begin);
  const int64_t bytes = (end - begin) * bytes_per_id_, offset = kTokenHeaderBytes + begin * bytes_per_id_;
  const auto read = [&](void* to) { return split.ids.read_at(to, bytes, offset) == bytes; };
  std::vector<int32_t> ids(count);
  if (bytes_per_id_ == 4) return read(ids.data()) ? ids : std::vector<int32_t>();
  std::vector<uint16_t> narrow(count);
  if (!read(narrow.data())) return {};
  ids.assign(narrow.begin(), narrow.end());
  return ids;
}

bool InterruptedPreparation::take_document(int split, std::string_view text, std::vector<int32_t>& ids) {
  std::optional<OldSplit>& old = splits_[as_index(split)];
  if (!old || text.empty()) return false;
  const auto range = next_range(*old);
  std::vector<int32_t> found;
  // A document is at most as long as its text has bytes, and a mark may follow it.
  if (range && (*range)[1] - (*range)[0] <= std::ssize(text) + 1) found = read_ids(*old, (*range)[0], (*range)[1]);
  const auto mark = tokenizer_->end_of_document();
  if (!found.empty() && mark && found.back() == *mark) found.pop_back();
  const auto in_vocabulary = [&](int32_t id) { return id >= 0 && id < tokenizer_->vocab_size(); };
  if (found.empty() || !std::all_of(found.begin(), found.end(), in_vocabulary) || tokenizer_->decode(found) != text) {
    old.reset();
    return false;
  }
  ids.insert(ids.end(), found.begin(), found.end());
  ++old->next;
  ++taken_;
  return true;
}

void InterruptedPreparation::pass_document(int split) {
  if (std::optional<OldSplit>& old = splits_[as_index(split)]) ++old->next;
}

}  // namespace moe
