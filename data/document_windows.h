// Windows of a text that are cut by its documents.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "data/batch_loader.h"
#include "data/evaluation_set.h"

namespace moe {

// How the documents of a text are treated (data.documents).
enum class DocumentMode {
  joined,    // the text is one: windows extend over several documents, and tokens attend to earlier ones
  separate,  // the same windows, but a token attends to its own document alone, in which positions begin at 0
  fit        // a window is a part of one document
};
constexpr std::string_view kDocumentModes[] = {"joined", "separate", "fit"};
DocumentMode document_mode(std::string_view name);
inline std::string_view name_of(DocumentMode mode) {
  return kDocumentModes[static_cast<size_t>(mode)];
}

// Throws DataError for a split without an index of documents, unless they are joined.
void expect_documents(const Split& split, DocumentMode mode);

// The number of predictions of `count` tokens from `begin` on: all of them with joined documents, otherwise all but the
// documents' first; where only some tokens of the split are scored (Split::has_scored), those.
int64_t count_predictions(const Split& split, int64_t begin, int64_t count, DocumentMode mode);
// Bytes of text, and unknown text, of the predictions of a whole split, all but its first token. Nothing where they are
// not known. Both read the whole split.
std::optional<int64_t> predicted_bytes(const Split& split, DocumentMode mode);
std::optional<UnknownText> predicted_unknown(const Split& split, DocumentMode mode);

// Writes the source of each target of the batch's windows of a split with documents.
void write_target_sources(const Split& split, const Batch& batch, std::vector<int32_t>& sources);

// Cuts each document into windows of up to `context` predictions, each `stride` tokens after the one before. All places
// of a document's first window are scored, and the last `stride` of its others. A document's first token is predicted
// by none. Keeps 8 bytes for each 256 documents.
class DocumentWindows {
 public:
  // `split` must outlive this object. Throws as expect_documents() does, DataError where no document has two tokens,
  // and UsageError unless 1 <= stride <= context.
  DocumentWindows(const Split& split, int64_t context, int64_t stride);

  int64_t num_windows() const { return num_windows_; }
  Window window(int64_t index) const;

 private:
  int64_t windows_of(int64_t tokens) const;
  template <class Visit>
  void visit(int64_t begin, Visit visit) const;

  const Split& split_;
  int64_t context_, stride_;
  int64_t num_windows_ = 0;
  struct Mark {
    int64_t windows, begin;  // the number of windows before a document, and where it begins
  };
  std::vector<Mark> marks_;
};

// A split whose documents are evaluated one by one.
class EvaluationDocuments : public EvaluationSet {
 public:
  // As DocumentWindows; `tokens`: number of leading tokens of the split that are used, 0 = all.
  EvaluationDocuments(const Split& split, int64_t context, int64_t stride, int64_t tokens = 0);

  int64_t num_sequences() const override { return windows_.num_windows(); }
  int64_t num_tokens() const override { return num_predictions_; }
  std::vector<std::pair<const char*, int64_t>> terms() const override {
    return {{"context", context_}, {"stride", stride_}};
  }
  std::string_view documents() const override { return name_of(DocumentMode::fit); }
  bool has_sources() const override { return true; }
  void target_sources(const Batch& batch, std::vector<int32_t>& sources) const override {
    write_target_sources(split_, batch, sources);
  }
  std::optional<int64_t> raw_bytes() const override { return predicted_bytes(split_, DocumentMode::fit); }
  std::optional<UnknownText> unknown() const override { return predicted_unknown(split_, DocumentMode::fit); }
  void load(int64_t first, int64_t count, Batch& batch) const override;

 private:
  Split split_;
  int64_t context_, stride_;
  DocumentWindows windows_;
  int64_t num_predictions_;
};

}  // namespace moe
