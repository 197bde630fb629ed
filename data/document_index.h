// Where the documents of a split begin, and the source (file) that each comes from: a file beside its tokens.
//
// The file: a header of 256 int32 like that of token files (magic 20261130, version 1, the number of documents as its
// lower and upper 32 bits, zeros), then for each document two little-endian int64: the index of its first token, and
// the index of its source among the names in corpus.json. Documents follow one another: each ends where the next one
// begins, the last one with the split. The first one begins at token 0.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/headed_file.h"
#include "data/posix_file.h"

namespace moe {

struct Document {
  int64_t begin = 0;   // index of its first token
  int64_t source = 0;  // index of the file that it comes from
  bool operator==(const Document&) const = default;
};

// Reads an index. It keeps one of 256 documents in memory and reads the others when they are needed, so an index of
// any size takes little memory. Threads may read at the same time.
class DocumentIndex {
 public:
  // `num_tokens`: of the split. Throws DataError for a file that is no index, is damaged, or does not fit to the split:
  // documents must not be empty, and sources must be below `num_sources`.
  DocumentIndex(const std::string& path, int64_t num_tokens, int64_t num_sources);

  const std::string& path() const { return file_.path(); }
  int64_t size() const { return size_; }
  Document at(int64_t index) const;
  // The index of the document that holds a token.
  int64_t find(int64_t token) const;
  // Calls visit(document) for the documents with the indices [first, end), in their order, until it returns false.
  template <class Visit>
  void visit(int64_t first, int64_t end, Visit visit) const {
    Block block;
    while (first < end) {
      const int64_t count = read(first, std::min<int64_t>(end - first, kBlock), block);
      for (int64_t i = 0; i < count; ++i) {
        if (!visit(block[static_cast<size_t>(i)])) return;
      }
      first += count;
    }
  }
  // XXH64 of all documents: reads the whole file.
  uint64_t payload_hash() const;

 private:
  static constexpr int64_t kBlock = 256;
  using Block = std::array<Document, kBlock>;
  int64_t read(int64_t first, int64_t count, Block& block) const;

  PosixFile file_;
  int64_t size_ = 0;
  std::vector<int64_t> firsts_;  // the begin of every kBlock-th document
};

// Writes an index as a stream, which is complete or absent.
class DocumentIndexWriter {
 public:
  explicit DocumentIndexWriter(const std::string& path) : file_(path) {}

  // A document without tokens is replaced by the one that begins at the same token.
  void add(const Document& document);
  // `num_tokens`: of the split, which drops a last document without tokens.
  void finish(int64_t num_tokens);

  int64_t size() const { return size_; }
  uint64_t payload_hash() const { return file_.payload_hash(); }

 private:
  void append(const Document& document);
  void flush();

  HeadedFile file_;
  std::vector<Document> buffer_;
  Document last_{-1, 0};  // not appended yet
  int64_t size_ = 0;
};

}  // namespace moe
