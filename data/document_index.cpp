#include "data/document_index.h"

#include "core/base/check.h"
#include "core/base/integer.h"
#include "data/token_file.h"

namespace moe {

constexpr int32_t kMagic = 20261130;
constexpr int32_t kVersion = 1;
constexpr int64_t kBytes = sizeof(Document);
constexpr size_t kBufferedDocuments = size_t{1} << 10;  // few, so that an interrupted preparation has most of them

static_assert(sizeof(Document) == 16, "documents are stored as they are");

static TokenHeader header_of(int64_t size) {
  TokenHeader header = {};
  header[0] = kMagic;
  header[1] = kVersion;
  set_count(header, size);
  return header;
}

DocumentIndex::DocumentIndex(const std::string& path, int64_t num_tokens, int64_t num_sources)
    : file_(PosixFile::open(path)) {
  TokenHeader header = {};
  if (file_.read(header.data(), kTokenHeaderBytes) < kTokenHeaderBytes || header[0] != kMagic ||
      header[1] != kVersion) {
    raise<DataError>("{}: not an index of documents of version {}; prepare the corpus again with --force", path,
                     kVersion);
  }
  size_ = count_in(header);
  const int64_t bytes = file_.size() - kTokenHeaderBytes;
  if (size_ < 1 || size_ != bytes / kBytes || bytes % kBytes != 0 || header != header_of(size_)) {
    raise<DataError>("{}: damaged: the header says {} documents, which the file of {} bytes does not hold", path, size_,
                     file_.size());
  }
  Document last{-1, 0};
  for (int64_t first = 0; first < size_; first += kBlock) {
    Block block;
    const int64_t count = read(first, std::min(kBlock, size_ - first), block);
    firsts_.push_back(block[0].begin);
    for (int64_t i = 0; i < count; ++i) {
      const Document& next = block[as_index(i)];
      const bool follows = last.begin < 0 ? next.begin == 0 : next.begin > last.begin;
      if (!follows || next.begin >= num_tokens || next.source < 0 || next.source >= num_sources) {
        raise<DataError>("{}: damaged: document {} begins at token {} of {} and has source {} of {}", path, first + i,
                         next.begin, num_tokens, next.source, num_sources);
      }
      last = next;
    }
  }
}

int64_t DocumentIndex::read(int64_t first, int64_t count, Block& block) const {
  if (file_.read_at(block.data(), count * kBytes, kTokenHeaderBytes + first * kBytes) < count * kBytes) {
    raise<CheckpointError>("{} became shorter while it was in use; prepare the corpus again", path());
  }
  return count;
}

Document DocumentIndex::at(int64_t index) const {
  MOE_CHECK(index >= 0 && index < size_, "document {} of {} in {}", index, size_, path());
  Block block;
  read(index, 1, block);
  return block[0];
}

int64_t DocumentIndex::find(int64_t token) const {
  MOE_CHECK(token >= 0, "token {} in {}", token, path());
  const auto after = std::upper_bound(firsts_.begin(), firsts_.end(), token);
  const int64_t first = (after - firsts_.begin() - 1) * kBlock;
  Block block;
  const int64_t count = read(first, std::min(kBlock, size_ - first), block);
  const auto next = std::upper_bound(block.begin(), block.begin() + count, token,
                                     [](int64_t place, const Document& document) { return place < document.begin; });
  return first + (next - block.begin()) - 1;
}

uint64_t DocumentIndex::payload_hash() const {
  ContentHash hash;
  visit(0, size_, [&](const Document& document) {
    hash.update(&document, kBytes);
    return true;
  });
  return hash.value();
}

void DocumentIndexWriter::add(const Document& document) {
  if (last_.begin >= 0 && last_.begin < document.begin) append(last_);
  last_ = document;
}

void DocumentIndexWriter::append(const Document& document) {
  buffer_.push_back(document);
  ++size_;
  if (buffer_.size() >= kBufferedDocuments) flush();
}

void DocumentIndexWriter::flush() {
  file_.append(buffer_.data(), std::ssize(buffer_) * kBytes);
  buffer_.clear();
}

void DocumentIndexWriter::finish(int64_t num_tokens) {
  if (last_.begin >= 0 && last_.begin < num_tokens) append(last_);
  flush();
  file_.finish(header_of(size_));
}

}  // namespace moe
